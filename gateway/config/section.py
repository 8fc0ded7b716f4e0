"""What a section of the file is, and what several of them need."""

import difflib
import ipaddress

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of the file; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


def is_loopback(host: str) -> bool:
    """Is it an address of this machine only?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def nearest(word: str, known: list[str]) -> str:
    """`, did you mean …?` for a word that is nearly one of `known`; else the choice."""
    close = difflib.get_close_matches(word, known, 1)
    if close:
        return f", did you mean {close[0]!r}?"
    return f"; known are {', '.join(sorted(known))}" if known else ""
