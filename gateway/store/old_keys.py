"""How stores before version 4 named the queues of subscriptions and sessions, and what became of these names.

`sub:CLIENT/` was what waits for an MQTT client, `sub:CLIENT/NAME` a durable subscription, `share:GROUP/FILTER` a shared
one.  Client ids and names may have slashes of their own, so only what a durable subscription is bound to tells whose it
is: it says its owner.
"""

import json

from gateway.core.queue_key import DURABLE, SESSION, SHARED, QueueKey
from gateway.store.database import Database


def rename_queues(database: Database) -> None:
    """Give the queues their new names, in the transaction that is open.  New names are left as they are."""
    for number, text in new_keys(database).items():
        database.execute("UPDATE queue SET key = ? WHERE number = ?", (text, number))


def new_keys(database: Database) -> dict[int, str]:
    """The new names of the queues whose names are old, by number."""
    found: dict[int, str] = {}
    for number, text, note in database.rows("SELECT number, key, note FROM queue"):
        key = new_key(text, note)
        if key is not None:
            found[number] = key.text
    return found


def new_key(text: str, note: bytes) -> QueueKey | None:
    """The key of a queue with this old name, bound to what `note` says; None for a name that is still good."""
    kind, _, rest = text.partition(":")
    if kind == "share":
        # A group has no slash in any protocol.
        group, _, pattern = rest.partition("/")
        return QueueKey(SHARED, group, pattern)
    if kind != "sub":
        return None
    if rest.endswith("/") and not note:
        # The queues of sessions have no bindings of their own.
        return QueueKey(SESSION, rest[:-1], "")
    client_id = _owner_in(note)
    if client_id and rest.startswith(f"{client_id}/"):
        return QueueKey(DURABLE, client_id, rest[len(client_id) + 1 :])
    client_id, _, name = rest.partition("/")
    return QueueKey(DURABLE, client_id, name)


def _owner_in(note: bytes) -> str:
    """The client id of whom a subscription belongs to; empty where it is not said, or cannot be read."""
    try:
        owner = json.loads(note)[0][2]
        return str(owner[2])
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
