"""What a section of the file is, and what several of them need."""

import difflib
import ipaddress
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

NUMBER_MAX: Final = (1 << 53) - 1
"""Whatever is calculated from it, a thousand times as much too, fits 64 bits; and JSON's readers know it exactly."""


class Section(BaseModel):
    """A table of the file; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """`true` would be one, and what is larger than any number of the gateway's is a slip of the hand."""
        wanted = cls.model_fields[info.field_name or ""].annotation
        if wanted is int and isinstance(value, bool):
            raise ValueError("write a number")
        if isinstance(value, int) and abs(value) > NUMBER_MAX:
            raise ValueError(f"a number of at most {NUMBER_MAX}")
        return value


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
