"""What happened in a run: lines for people, and a digest that is the same only where every byte is.

In the digest are all lines, what either side of each connection heard, cut as it came, and what each process left on
the disk.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

UNTOLD = (".lock", "-reserve")
"""Files that say which process it is, or nothing."""


class Record:
    """Written only where somebody reads it: `kept`."""

    def __init__(self, kept: bool) -> None:
        self.kept = kept
        self.lines: list[str] = []
        self.said = 0
        """How many lines there would be if all were kept."""
        self._digest = hashlib.blake2b(digest_size=8)

    def say(self, us: int, line: str | Callable[[], str]) -> None:
        """Add a line, or what makes it, at that time."""
        self.said += 1
        if self.kept:
            text = f"{us / 1_000_000:12.6f} {line if isinstance(line, str) else line()}"
            self.lines.append(text)
            self._digest.update(text.encode())

    def heard(self, who: str, connection: int, data: bytes) -> None:
        """One side of a connection has read that."""
        if self.kept:
            self._digest.update(f"{who} {connection} {len(data)} ".encode())
            self._digest.update(data)

    def left(self, directory: Path) -> None:
        """A process has left these files."""
        if self.kept:
            for path in sorted(directory.rglob("*")):
                if path.is_file() and not path.name.endswith(UNTOLD):
                    data = path.read_bytes()
                    self._digest.update(f"{path.relative_to(directory)} {len(data)} ".encode())
                    self._digest.update(data)

    def digest(self) -> str:
        """The same for runs in which the same happened; empty where nobody has kept what did."""
        return self._digest.hexdigest() if self.kept else ""
