"""Selectors, and what each of them wants: a message has perhaps a number `k`, and perhaps a word `s`."""

from collections.abc import Callable
from typing import Final

from tests.simulation.messages import Sent

WORDS: Final = ("", "alpha", "b_ta")


def word_of(sent: Sent) -> str:
    """Its word; empty for none."""
    return WORDS[sent.uid % len(WORDS)] if sent.k >= 0 else ""


def properties_of(sent: Sent) -> dict[str, int | str]:
    """What it has of these."""
    word = word_of(sent)
    return {"k": sent.k, "s": word} if word else {"k": sent.k}


def _of_number(wants: Callable[[int], bool]) -> Callable[[Sent], bool]:
    """What has no number is neither wanted nor not: it is unknown (SQL-92)."""
    return lambda sent: sent.k >= 0 and wants(sent.k)


def _of_word(wants: Callable[[str], bool]) -> Callable[[Sent], bool]:
    return lambda sent: word_of(sent) != "" and wants(word_of(sent))


SELECTORS: Final[tuple[tuple[str, Callable[[Sent], bool]], ...]] = (
    ("k = 0", _of_number(lambda k: k == 0)),
    ("k = 1", _of_number(lambda k: k == 1)),
    ("k = 2", _of_number(lambda k: k == 2)),
    ("k <> 1", _of_number(lambda k: k != 1)),
    ("NOT (k = 1)", _of_number(lambda k: k != 1)),
    ("k > 0 AND k < 2", _of_number(lambda k: k == 1)),
    ("k = 0 OR k >= 2.0", _of_number(lambda k: k != 1)),
    ("k BETWEEN 1 AND 2", _of_number(lambda k: k in (1, 2))),
    ("k NOT BETWEEN 1 AND 2", _of_number(lambda k: k == 0)),
    ("k + 1 = 2", _of_number(lambda k: k == 1)),
    ("-k * 2 - 1 < -1e0", _of_number(lambda k: k > 0)),
    ("k IS NULL OR k / 2 = 1", lambda sent: sent.k in (-1, 2)),
    ("s = 'alpha'", _of_word(lambda word: word == "alpha")),
    ("s <> 'alpha'", _of_word(lambda word: word != "alpha")),
    ("s IN ('b_ta', 'gamma')", _of_word(lambda word: word == "b_ta")),
    ("s NOT IN ('b_ta', 'gamma')", _of_word(lambda word: word != "b_ta")),
    ("s LIKE 'a%'", _of_word(lambda word: word.startswith("a"))),
    ("s NOT LIKE '%_ta'", _of_word(lambda word: word != "b_ta")),
    ("s LIKE 'b!_t_' ESCAPE '!'", _of_word(lambda word: word == "b_ta")),
    ("s IS NULL", lambda sent: word_of(sent) == ""),
    ("s IS NOT NULL AND (s = 'alpha' OR s > 'x')", _of_word(lambda word: word == "alpha")),
    ("JMSPriority > 4", lambda sent: sent.priority > 4),
    ("JMSDeliveryMode = 'PERSISTENT'", lambda sent: sent.persistent),
    ("JMSDeliveryMode <> 'PERSISTENT' AND k = 0", lambda sent: not sent.persistent and sent.k == 0),
    ("TRUE", lambda _: True),
)
"""Text → what it wants."""
