"""Why a message is among the dead letters, in the words that RabbitMQ's users look for."""

import json
from typing import Final

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
    pairs = [(LIST_NAME, json.dumps(entries, ensure_ascii=False, separators=(",", ":")))]
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
