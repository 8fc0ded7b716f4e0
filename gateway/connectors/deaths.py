"""Why a message is among the dead letters, in the words that RabbitMQ's users look for."""

import json
from typing import Any, Final

from gateway.connectors.typed_json import parse
from gateway.core.destination import QUEUE
from gateway.core.message import Death, Fields, Message

LIST_NAME: Final = "x-death"

NAMES: Final = frozenset(
    {
        LIST_NAME,
        "x-first-death-exchange",
        "x-first-death-queue",
        "x-first-death-reason",
        "x-last-death-exchange",
        "x-last-death-queue",
        "x-last-death-reason",
    }
)

NO_NAMES: Final[frozenset[str]] = frozenset()

DEATHS_MAX: Final = 64
"""Entries taken over from a publisher's own list."""


def own_names(message: Message) -> frozenset[str]:
    """Names that the broker writes for this message, so that a publisher's properties of these names do not."""
    return NAMES if message.deaths else NO_NAMES


def death_pairs(message: Message, fields: Fields) -> list[tuple[str, str]]:
    """Names and texts; none for a message that did not die."""
    deaths = message.deaths
    if not deaths:
        return []
    entries = _entries(message, deaths)
    _continue(entries, fields)
    first = entries[-1]
    last = entries[0]
    pairs = [(LIST_NAME, _dump(entries))]
    for when, entry in (("first", first), ("last", last)):
        for word in ("reason", "queue", "exchange"):
            value = entry.get(word)
            pairs.append((f"x-{when}-death-{word}", value if isinstance(value, str) else ""))
    return pairs


def _entries(message: Message, deaths: list[Death]) -> list[dict[str, object]]:
    """The broker's list, newest first, as objects for JSON."""
    sent_to = message.original or message.destination
    entries: list[dict[str, object]] = []
    for death in deaths:
        entries.append(
            {
                "count": death.count,
                "reason": death.reason,
                "queue": death.queue.removeprefix("queue:"),
                "time": death.last_ms // 1000,
                # The default exchange, or the one whose routing keys are the topics.
                "exchange": "" if sent_to.kind == QUEUE else "amq.topic",
                "routing-keys": [sent_to.name],
                "first-ms": death.first_ms,
                "last-ms": death.last_ms,
            }
        )
    return entries


def _continue(entries: list[dict[str, object]], fields: Fields) -> None:
    """A message that died before and was published again: the counts go on, and what else its list held follows."""
    for theirs in _publishers_list(fields):
        for ours in entries:
            if ours["queue"] == theirs.get("queue") and ours["reason"] == theirs.get("reason"):
                count = theirs.get("count")
                mine = ours["count"]
                assert isinstance(mine, int)
                if isinstance(count, int) and 0 < count < 1 << 53:
                    ours["count"] = mine + count
                break
        else:
            entries.append(theirs)


def _publishers_list(fields: Fields) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for name, value in fields.properties:
        if name != LIST_NAME or not isinstance(value, str):
            continue
        try:
            entries = parse(value)
        except ValueError:
            continue
        if isinstance(entries, list):
            for entry in entries[:DEATHS_MAX]:
                if isinstance(entry, dict):
                    found.append(entry)
    return found


# -- as JSON has them: in a list of their own

_JSON_NAMES: Final = {"routing-keys": "routing_keys", "first-ms": "first_ms", "last-ms": "last_ms"}
_PLAIN_NAMES: Final = {theirs: ours for ours, theirs in _JSON_NAMES.items()}

_ONLY_THE_LIST: Final = frozenset({LIST_NAME})


def deaths_for_json(message: Message, fields: Fields) -> tuple[list[dict[str, object]], frozenset[str]]:
    """The deaths, and the names of the properties that say the same.

    A list that its publisher sent along is one too, if it comes back as it is.
    """
    deaths = message.deaths
    if deaths:
        entries = _entries(message, deaths)
        _continue(entries, fields)
        shown = [_renamed(entry, _JSON_NAMES) for entry in entries]
        return [entry for entry in shown if _is_death(entry)], NAMES
    claims = [value for name, value in fields.properties if name == LIST_NAME]
    if len(claims) == 1 and isinstance(claims[0], str):
        found = [_renamed(entry, _JSON_NAMES) for entry in _publishers_list(fields)]
        fit = [entry for entry in found if _is_death(entry)]
        if found and len(fit) == len(found) and _claim(found) == claims[0]:
            return found, _ONLY_THE_LIST
    return [], NO_NAMES


def take_deaths(fields: Fields, deaths: object) -> None:
    """What a publisher says of earlier deaths is data, and if it dies again in the same way, the count goes on.

    It decides nothing: what the broker goes by, it has written itself.
    """
    if not isinstance(deaths, list) or not deaths:
        return
    for name, _ in fields.properties:
        if name == LIST_NAME:
            return
    claim = _claim(deaths[:DEATHS_MAX])
    if claim != "[]":
        fields.properties.append((LIST_NAME, claim))


def _claim(deaths: list[Any]) -> str:
    return _dump(
        [_renamed(entry, _PLAIN_NAMES) for entry in deaths if isinstance(entry, dict) and _is_death(entry)]
    )


_TEXTS: Final = ("queue", "reason", "exchange")
_NUMBERS: Final = ("count", "time", "first_ms", "last_ms")


def _is_death(entry: dict[str, Any]) -> bool:
    """Is what it has of a death's own members of the right type?"""
    for name in _TEXTS:
        if name in entry and not isinstance(entry[name], str):
            return False
    for name in _NUMBERS:
        if name in entry and (not isinstance(entry[name], int) or isinstance(entry[name], bool)):
            return False
    return "routing_keys" not in entry or isinstance(entry["routing_keys"], list)


def _renamed(entry: dict[str, Any], names: dict[str, str]) -> dict[str, object]:
    """An entry with other names; of what it says only texts, numbers and lists of texts, which is all there should be."""
    result: dict[str, object] = {}
    for name, value in entry.items():
        if isinstance(value, list):
            value = [part for part in value if isinstance(part, str)]
        elif isinstance(value, dict):
            continue
        result[names.get(name, name)] = value
    return result


def _dump(entries: list[dict[str, object]]) -> str:
    return json.dumps(entries, ensure_ascii=False, separators=(",", ":"))
