"""Which run of the machine this is: what lies in files but was never synced is from this one, or from any moment of an
earlier one.
"""

from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
"""Linux: proc(5)."""


def boot_id() -> str:
    """Another one after each start of the machine; empty where the system does not tell."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
