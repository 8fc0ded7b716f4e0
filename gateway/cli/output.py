"""What commands write on the terminal."""

import io
import sys
from typing import Final

_CONTROLS: Final = {number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160))}


def legible_output() -> None:
    """Show names that the terminal's encoding has no letters for with escapes, instead of failing on them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def legible(name: str) -> str:
    """A name that a client chose, without what a terminal would obey."""
    return name.translate(_CONTROLS)
