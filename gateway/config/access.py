"""Who may come, and what they may do: users, rules."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from gateway.config.section import Section
from gateway.security.passwords import is_hash
from gateway.security.rules import ACTIONS, ANONYMOUS, ANYBODY, Area


class SecuritySection(Section):
    """[security]: how users are checked."""

    password_threads: int = Field(1, ge=1, le=64)
    """Threads that check passwords."""
    password_checks_max: int = Field(1_000, ge=1)
    """Password checks that may be under way or wait; above that logins are refused."""
    decisions_bytes_max: int = Field(16_777_216, ge=0)
    """Bytes of what is remembered of the rules' answers: who may send to or receive from which destination."""


class UserSection(Section):
    """[[user]]: who may connect by name and password."""

    name: str = Field(min_length=1, max_length=256)
    """What the client says as its user name or login."""
    hash: str = Field(repr=False)
    """argon2id hash of the password, as `gateway user hash` prints it."""
    groups: tuple[str, ...] = ()
    """Names by which rules can mean several users."""

    @field_validator("name")
    @classmethod
    def _not_reserved(cls, name: str) -> str:
        if name in (ANYBODY, ANONYMOUS):
            raise ValueError("means something else in rules")
        return name

    @field_validator("hash")
    @classmethod
    def _a_hash(cls, hash: str) -> str:
        if not is_hash(hash):
            raise ValueError(
                "not an argon2id hash at a price that a login may have: `gateway user hash` makes one"
            )
        return hash


class RuleSection(Section):
    """[[rule]]: what somebody may or may not do.  The first rule that fits decides; where none fits, it is denied."""

    allow: tuple[Literal["publish", "subscribe", "receive"], ...] = ()
    """What is allowed; or else"""
    deny: tuple[Literal["publish", "subscribe", "receive"], ...] = ()
    """what is denied."""
    users: tuple[str, ...] = ()
    """Names; * is everybody with a name, anonymous is who has none.  Without users and groups: everybody."""
    groups: tuple[str, ...] = ()
    """Groups of [[user]]."""
    destinations: tuple[str, ...] = Field(min_length=1)
    """topic:NAME or queue:NAME; * is a level, > the rest, {user} and {client_id} the client's own."""

    @field_validator("destinations")
    @classmethod
    def _patterns(cls, destinations: tuple[str, ...]) -> tuple[str, ...]:
        for text in destinations:
            Area.parse(text)
        return destinations

    @model_validator(mode="after")
    def _one_of_both(self) -> "RuleSection":
        for key in ("users", "groups"):
            if key in self.model_fields_set and not getattr(self, key):
                raise ValueError(f"{key} = [] names nobody: leave it out where the rule is for everybody")
        if bool(self.allow) == bool(self.deny):
            raise ValueError(f"write either allow or deny, a list of {', '.join(ACTIONS)}")
        return self
