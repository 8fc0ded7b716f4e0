"""Everybody may do everything: what there is until users and rules are configured."""

from gateway.core.ports import Authorizer


class Anyone(Authorizer):
    """Says yes.  Connectors bound beyond loopback must still allow anonymous access in so many words."""
