"""The authorizer of a gateway that has users or rules of its own, written in its configuration."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.core.destination import QUEUE, TOPIC, Destination
from gateway.core.flow import Publisher
from gateway.core.pattern import Pattern, literal
from gateway.core.ports import Asker, Authorizer, Credentials
from gateway.core.virtual import virtual_topic_of
from gateway.security.passwords import PasswordChecks
from gateway.security.rules import Rules, Who

DECISIONS_BYTES_MAX: Final = 16_777_216
"""Bytes of answers kept for (client, action, destination); above that all are forgotten and found again on use."""

DECISION_OVERHEAD: Final = 250
"""Bytes that an answer takes beside the names, about."""

NAMES_REMEMBERED_MAX: Final = 1_024
"""Characters of user, client id and destination; for more, the rules are asked each time."""


@dataclass(frozen=True, slots=True)
class User:
    """One [[user]]."""

    name: str
    hash: str
    groups: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"User({self.name!r})"


class Guard(Authorizer):
    """Knows its users by their passwords, or by their certificates; what they may do, the rules say.

    Where nothing verifies names and no rule is about them, every name is believed; elsewhere none without a proof.
    """

    def __init__(
        self,
        users: Mapping[str, User],
        rules: Rules,
        checks: PasswordChecks,
        before_answer: Callable[[], None],
        certificates: bool = False,
        decisions_bytes_max: int = DECISIONS_BYTES_MAX,
    ) -> None:
        """`certificates`: do some clients show whom a certificate names?"""
        super().__init__()
        self._users = users
        self._rules = rules
        self._certificates = certificates
        self._checks = checks
        self._before_answer = before_answer
        """Called before an answer that comes late, to bring the core's clock up to date."""
        self._look_at_rules()
        self._decisions: dict[tuple[str | None, str, int, int, str], bool] = {}
        self._decisions_bytes = 0
        self._decisions_bytes_max = decisions_bytes_max
        self.refused = 0
        """Clients that were not who they said they were."""

    def _look_at_rules(self) -> None:
        rules = self._rules
        self.verifies_names = bool(self._users) or self._certificates or rules.about_names
        self.restricts_publish = bool(rules)
        self.restricts_receive = rules.restrict_receive

    @property
    def believes(self) -> bool:
        """Is everybody who they say they are?"""
        return not self._users and not self.verifies_names

    def exchange(self, users: Mapping[str, User], rules: Rules) -> frozenset[str]:
        """Go by these from now on.  Returns the users whose passwords are what they were.

        Routes that are known have to be forgotten, and who is connected or reads has to be asked again.
        """
        before = self._users
        self._users = users
        self._rules = rules
        self._look_at_rules()
        self._forget_decisions()
        self.generation += 1
        return frozenset([name for name, user in users.items() if _hash_of(before, name) == user.hash])

    def _forget_decisions(self) -> None:
        self._decisions = {}
        self._decisions_bytes = 0

    # -- who is it?

    def authenticate(self, credentials: Credentials, asker: Asker) -> None:
        """See Authorizer."""
        name = credentials.user
        certified = credentials.certificate_user
        if name is None:
            # A secret without a name is a token, and nobody has given one out.
            self._decide(credentials.secret is None, certified, asker)
        elif name == certified and (credentials.secret is None or name not in self._users):
            asker.answer(True, name)
        elif self._users:
            self._check_password(name, credentials.secret or b"", asker)
        else:
            # Only a claim: a certificate of this listener that names somebody else is more than that.
            self._decide(certified is None and not self.verifies_names, name, asker)

    def _decide(self, granted: bool, user: str | None, asker: Asker) -> None:
        if not granted:
            self.refused += 1
        asker.answer(granted, user if granted else None)

    def _check_password(self, name: str, secret: bytes, asker: Asker) -> None:
        hash = _hash_of(self._users, name)
        started = True

        def answer(right: bool) -> None:
            if not started:
                self._before_answer()
            # It may have been exchanged meanwhile.
            self._decide(right and _hash_of(self._users, name) == hash, name, asker)

        self._checks.check(name, hash, secret, answer)
        started = False

    # -- what may it do?

    def may_publish(self, publisher: Publisher, destination: Destination) -> bool:
        """See Authorizer."""
        if not self._rules:
            return True
        key = self._key(publisher, 0, destination.kind, destination.name)
        known = self._decisions.get(key)
        if known is None:
            who = self._who(publisher)
            known = self._remember(key, self._rules.may_publish(who, destination.kind, destination.name))
        return known

    def may_subscribe(self, publisher: Publisher, kind: int, pattern: Pattern, whole: bool = False) -> bool:
        """See Authorizer."""
        if not self._rules:
            return True
        who = self._who(publisher)
        if kind != QUEUE:
            return self._rules.may_subscribe(who, kind, pattern, whole)
        # The names of queues are flat, but rules see levels in them.
        name = ".".join(pattern.levels)
        wanted = literal(name) if len(pattern.levels) == 1 else pattern
        if not self._rules.may_subscribe(who, kind, wanted, whole):
            return False
        topic = virtual_topic_of(name) if pattern.literal else ""
        # What it holds was sent to the topic; several share it.
        return not topic or self._rules.may_subscribe(who, TOPIC, literal(topic), True)

    def may_receive(self, publisher: Publisher, destination: Destination) -> bool:
        """See Authorizer."""
        key = self._key(publisher, 1, destination.kind, destination.name)
        known = self._decisions.get(key)
        if known is None:
            who = self._who(publisher)
            known = self._remember(key, self._rules.may_receive(who, destination.kind, destination.name))
        return known

    def receivers(self, destination: Destination) -> object:
        """See Authorizer."""
        return self._rules.receivers(destination.kind, destination.name)

    @property
    def decisions_bytes(self) -> int:
        """Bytes of the answers that are kept, about."""
        return self._decisions_bytes

    def _key(
        self, publisher: Publisher, action: int, kind: int, name: str
    ) -> tuple[str | None, str, int, int, str]:
        return (publisher.user, publisher.client_id if self._rules.personal else "", action, kind, name)

    def _remember(self, key: tuple[str | None, str, int, int, str], allowed: bool) -> bool:
        names = (key[0] or "", key[1], key[4])
        if sum(len(name) for name in names) > NAMES_REMEMBERED_MAX:
            return allowed
        size = DECISION_OVERHEAD + sum(len(name) * (1 if name.isascii() else 4) for name in names)
        if self._decisions_bytes + size > self._decisions_bytes_max:
            self._forget_decisions()
        self._decisions[key] = allowed
        self._decisions_bytes += size
        return allowed

    def _who(self, publisher: Publisher) -> Who:
        user = None if publisher.user is None else self._users.get(publisher.user)
        return Who(publisher.user, frozenset() if user is None else user.groups, publisher.client_id)

    def close(self) -> None:
        """The gateway stops."""
        self._checks.close()


def _hash_of(users: Mapping[str, User], name: str) -> str | None:
    user = users.get(name)
    return None if user is None else user.hash
