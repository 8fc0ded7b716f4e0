"""The words of the subprotocol."""

from typing import Final

NAME: Final = "gateway.json"

# How deliveries of a subscription end.
ACK_AUTO: Final = "auto"
ACK_CLIENT: Final = "client"

# Outcomes of a `nack`.
FAILED: Final = "failed"
RELEASE: Final = "release"
REJECT: Final = "reject"
OUTCOMES: Final = (FAILED, RELEASE, REJECT)

# Codes of an `error`.  The first two end the connection.
BAD_JSON: Final = "bad_json"
UNAUTHORIZED: Final = "unauthorized"
BAD_REQUEST: Final = "bad_request"
BAD_DESTINATION: Final = "bad_destination"
NOT_ALLOWED: Final = "not_allowed"
FULL: Final = "full"
LIMIT: Final = "limit"
IN_USE: Final = "in_use"
UNKNOWN: Final = "unknown"
"""A subscription, delivery or transaction of that name is not there."""

TEXT_MAX: Final = 65_535
"""Bytes, about, of a name: ids, subscriptions, transactions."""

INTEGER_MAX: Final = (1 << 53) - 1
"""Beyond this, JavaScript's numbers are no longer exact."""
