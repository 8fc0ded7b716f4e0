"""What commands write on the terminal."""

import io
import sys


def legible_output() -> None:
    """Show names that the terminal's encoding has no letters for with escapes, instead of failing on them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
