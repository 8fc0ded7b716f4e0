"""Rules: who may publish to, subscribe to and receive from which destinations.  The first one that fits decides."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.core.destination import QUEUE, TOPIC
from gateway.core.pattern import MANY, ONE, Pattern, skip_many

PUBLISH: Final = "publish"
SUBSCRIBE: Final = "subscribe"
RECEIVE: Final = "receive"
ACTIONS: Final = (PUBLISH, SUBSCRIBE, RECEIVE)

ANYBODY: Final = "*"
"""In a rule's users: everybody who has a name."""
ANONYMOUS: Final = "anonymous"
"""In a rule's users: who has none."""

USER_PLACE: Final = "{user}"
CLIENT_PLACE: Final = "{client_id}"
"""Stand in a destination for the client's own name and id; a rule with one whose value is not there does not fit."""

_PLACE: Final = re.compile(r"\{[A-Za-z_]+\}")

KINDS: Final = {"queue": QUEUE, "topic": TOPIC}


class BadRule(ValueError):
    """A rule that cannot be; the text says why."""


@dataclass(frozen=True, slots=True)
class Area:
    """One destination pattern of a rule, such as `topic:sensors.>` or `queue:inbox.{user}`."""

    kind: int
    levels: tuple[str, ...]
    personal: bool
    """Has a place for a name or an id."""

    @staticmethod
    def parse(text: str) -> "Area":
        """Raises BadRule."""
        kind, colon, name = text.partition(":")
        if not colon or kind not in KINDS or not name:
            raise BadRule(f"{text!r}: write topic:NAME or queue:NAME, with * for a level and > for the rest")
        if name != name.strip():
            raise BadRule(f"{text!r}: blanks at the ends of a name")
        levels = []
        for level in name.split("."):
            if "#" in level or level.split("/")[-1] == "+":
                # Taken as a name, it would fit nothing that clients mean by it.
                raise BadRule(f"{text!r}: MQTT's wildcards are written * for a level and > for the rest")
            if level != "*" and level != ">" and ("*" in level or ">" in level):
                raise BadRule(f"{text!r}: a wildcard is a whole level")
            if level.count(USER_PLACE) + level.count(CLIENT_PLACE) > 1:
                # Where the one ends and the other begins nobody could tell: `a-b` and `c` would be `a` and `b-c`.
                raise BadRule(f"{text!r}: a level has one name in it at most")
            for place in _PLACE.findall(level):
                if place not in (USER_PLACE, CLIENT_PLACE):
                    # Taken as a name, it would fit nothing: a rule that denies would deny nothing.
                    raise BadRule(f"{text!r}: {place} is no place; there are {USER_PLACE} and {CLIENT_PLACE}")
            levels.append(ONE if level == "*" else MANY if level == ">" else level)
        return Area(KINDS[kind], tuple(levels), USER_PLACE in name or CLIENT_PLACE in name)

    def pattern(self, user: str | None, client_id: str) -> Pattern | None:
        """The pattern for this client; None when it has no name or id to put into it."""
        if not self.personal:
            return Pattern(self.levels)
        levels = []
        for at, level in enumerate(self.levels):
            for place, value in ((USER_PLACE, user or ""), (CLIENT_PLACE, client_id)):
                if place in level:
                    own = level_of(value)
                    if own is None or (at == 0 and level.startswith(place) and own.startswith("$")):
                        # `$SYS` is nobody's own.
                        return None
                    level = level.replace(place, own)
                    break
            levels.append(level)
        return Pattern(tuple(levels))

    def widest(self) -> Pattern:
        """The pattern of all destinations that it may be about, whoever the client is."""
        return Pattern(
            tuple([ONE if USER_PLACE in level or CLIENT_PLACE in level else level for level in self.levels])
        )


def level_of(value: str) -> str | None:
    """The level that is a name's own, whatever it is; no other name has it.  None where there is none.

    A dot within a level is a slash, as everywhere in canonical names; so a name that has slashes has no level, or it
    would be that of the name with dots.
    """
    if not value or "/" in value or "\0" in value:
        return None
    return value.replace(".", "/")


@dataclass(frozen=True, slots=True)
class Rule:
    """One [[rule]]."""

    allow: bool
    actions: frozenset[str]
    users: frozenset[str]
    """Names, ANYBODY, ANONYMOUS; empty, with no groups either, is everybody."""
    groups: frozenset[str]
    areas: tuple[Area, ...]

    def concerns(self, user: str | None, groups: frozenset[str]) -> bool:
        """Is the rule about this client?"""
        if not self.users and not self.groups:
            return True
        if user is None:
            return ANONYMOUS in self.users
        named = user in self.users and user != ANONYMOUS
        return named or ANYBODY in self.users or bool(groups & self.groups)


@dataclass(frozen=True, slots=True)
class Who:
    """A client, as far as rules look at it."""

    user: str | None
    groups: frozenset[str]
    client_id: str


class Rules:
    """All rules of a gateway, in their order.  Where no rule fits: denied if there are any, else allowed."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        self.personal = any(CLIENT_PLACE in level for r in rules for a in r.areas for level in a.levels)
        """Does any answer depend on the client id?"""
        self.about_names = any(_about_names(rule) for rule in rules)
        """Does any answer depend on the user's name?"""
        self.restrict_receive = bool(rules)
        """Can a subscription, which was allowed once, still not be given everything under it?"""

    def __bool__(self) -> bool:
        return bool(self._rules)

    def may_publish(self, who: Who, kind: int, name: str) -> bool:
        """May `who` send to the destination?"""
        for rule in self._rules:
            if PUBLISH in rule.actions and _fits(rule, who, kind, name):
                return rule.allow
        return not self._rules

    def may_subscribe(self, who: Who, kind: int, wanted: Pattern, whole: bool) -> bool:
        """May `who` subscribe to all of `wanted`?  A rule that allows must cover it.

        A rule that denies and covers it denies it; one that denies a part lets it pass and takes effect on receiving,
        unless `whole` says that nothing can be held back from the subscription.  Nothing can from that of one queue: to
        be its consumer is to be given what is in it.
        """
        for rule in self._rules:
            if SUBSCRIBE in rule.actions and _covers(rule, who, kind, wanted):
                one_queue = kind == QUEUE and wanted.literal
                return rule.allow and (not (whole or one_queue) or self._may_receive_all(who, kind, wanted))
        return not self._rules

    def _may_receive_all(self, who: Who, kind: int, wanted: Pattern) -> bool:
        """Would `may_receive` say yes to every name under `wanted`?"""
        for rule in self._rules:
            if not _decides_receiving(rule):
                continue
            if rule.allow:
                if _covers(rule, who, kind, wanted):
                    return True
            elif any(overlaps(pattern, wanted) for pattern in _patterns(rule, who, kind)):
                return False
        return not self._rules

    def may_receive(self, who: Who, kind: int, name: str) -> bool:
        """May `who`, who has subscribed, be given what is sent to this destination; of a queue, what is in it?

        Where a subscription is allowed now, a rule that allows it covers all of it.  So a name that no rule fits is that
        of a subscription from before a rule went away: a durable one, a session's, or one that is open.
        """
        for rule in self._rules:
            if _decides_receiving(rule) and _fits(rule, who, kind, name):
                return rule.allow
        return not self._rules

    def receivers(self, kind: int, name: str) -> str | tuple[bool, ...]:
        """Equal for destinations about which `may_receive` answers the same, whoever asks.

        Which areas the name falls under, or the name itself where that depends on who asks.
        """
        within: list[bool] = []
        for rule in self._rules:
            if not _decides_receiving(rule):
                continue
            for area in rule.areas:
                if area.kind == kind:
                    # `$` in front of a name hides a topic from wildcards, not from the rule.
                    hidden = area.personal and name.startswith("$")
                    matches = hidden or area.widest().matches(name)
                    if matches and area.personal:
                        return name
                    within.append(matches)
        return tuple(within)


def _about_names(rule: Rule) -> bool:
    """Would the rule fit others, if they had another name or none?"""
    placed = any(USER_PLACE in level for area in rule.areas for level in area.levels)
    return placed or bool(rule.users or rule.groups)


def _decides_receiving(rule: Rule) -> bool:
    """Is the rule one of those that `may_receive` goes by?

    Who may not subscribe to something may not receive it by way of a wider subscription either; who may, may.
    """
    return RECEIVE in rule.actions or SUBSCRIBE in rule.actions


def _fits(rule: Rule, who: Who, kind: int, name: str) -> bool:
    """Is the rule about this client and this destination?"""
    return any(pattern.matches(name) for pattern in _patterns(rule, who, kind))


def _covers(rule: Rule, who: Who, kind: int, wanted: Pattern) -> bool:
    """Is the rule about this client and everything under `wanted`?"""
    return any(covers(pattern, wanted) for pattern in _patterns(rule, who, kind))


def _patterns(rule: Rule, who: Who, kind: int) -> list[Pattern]:
    """The rule's patterns for this client; none when it is not about it."""
    found: list[Pattern] = []
    if not rule.concerns(who.user, who.groups):
        return found
    for area in rule.areas:
        if area.kind == kind:
            pattern = area.pattern(who.user, who.client_id)
            if pattern is not None:
                found.append(pattern)
    return found


def covers(pattern: Pattern, wanted: Pattern) -> bool:
    """Does every name under `wanted` fall under `pattern`?"""
    if _hidden(pattern, wanted):
        return False
    have = pattern.levels
    # Positions of `pattern` reachable by the levels of `wanted` so far.
    reached = skip_many(have, {0})
    for level in wanted.levels:
        following = set()
        for at in reached:
            if at == len(have):
                continue
            if have[at] == MANY:
                following.add(at)
            elif level != MANY and (have[at] == ONE or have[at] == level):
                following.add(at + 1)
        reached = skip_many(have, following)
    return len(have) in reached


def overlaps(pattern: Pattern, wanted: Pattern) -> bool:
    """Is there a name that falls under both?"""
    if _hidden(pattern, wanted) or _hidden(wanted, pattern):
        return False
    one = pattern.levels
    other = wanted.levels
    pending = [(0, 0)]
    seen = set()
    while pending:
        place = pending.pop()
        if place in seen:
            continue
        seen.add(place)
        i, j = place
        if i == len(one) and j == len(other):
            return True
        if i < len(one) and one[i] == MANY:
            pending.append((i + 1, j))
            if j < len(other):
                pending.append((i, j + 1))
        if j < len(other) and other[j] == MANY:
            pending.append((i, j + 1))
            if i < len(one):
                pending.append((i + 1, j))
        if i < len(one) and j < len(other) and MANY not in (one[i], other[j]):
            meet = one[i] == other[j] or ONE in (one[i], other[j])
            if meet:
                pending.append((i + 1, j + 1))
    return False


def _hidden(pattern: Pattern, wanted: Pattern) -> bool:
    """A leading wildcard does not reach what starts with `$`, in rules as in subscriptions."""
    return wanted.levels[0].startswith("$") and pattern.levels[0] in (ONE, MANY)
