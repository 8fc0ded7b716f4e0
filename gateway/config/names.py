"""Names of queues in the file: what could be none is a mistake there, not something that goes wrong years later."""

from gateway.core.destination import TEMPORARY_PREFIX, InvalidName, check_name, check_reserved
from gateway.core.virtual import VIRTUAL_CONSUMER

_WILDCARDS = ("*", ">", "#", "+")


def queue_name(text: str) -> str:
    """The name of one lasting queue, as it is.  Raises ValueError."""
    _check(text)
    if any(level in _WILDCARDS for level in text.split(".")):
        raise ValueError(f"{text!r}: a wildcard is no queue")
    if text.startswith(("$", TEMPORARY_PREFIX, VIRTUAL_CONSUMER)):
        raise ValueError(f"{text[:80]!r}: queues of such names come and go by themselves")
    return text


def pattern_of_queues(text: str) -> str:
    """A pattern of queue names, as it is: `*` is a level, `>` the rest.  Raises ValueError."""
    _check(text)
    for level in text.split("."):
        if level not in ("*", ">") and any(sign in level for sign in ("*", ">", "#")):
            raise ValueError(f"{text[:80]!r}: a wildcard is a whole level, * for one and > for the rest")
    return text


def _check(text: str) -> None:
    kind, colon, _ = text.partition(":")
    if colon and kind in ("queue", "topic"):
        raise ValueError(f"{text[:80]!r}: write the queue's name alone, without {kind}:")
    if text != text.strip() or not text.isprintable():
        raise ValueError(f"{text[:80]!r}: blanks at its ends, or control characters")
    try:
        check_name(text)
        check_reserved(text)
    except InvalidName as error:
        raise ValueError(f"{text[:80]!r}: {error}") from None
