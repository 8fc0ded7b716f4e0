"""A disk of its own for a test, small enough to be filled.  Where mounting is not allowed such tests are skipped."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


class Volume:
    """A disk of 48 MiB."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._filler = directory / "filler"

    def fill(self, but: int = 0) -> None:
        """Another program takes every byte that is left, or all but so many."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (1 << 20, 4_096, 1):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    continue
        if but:
            os.truncate(self._filler, self._filler.stat().st_size - but)

    def empty(self) -> None:
        """It gives them back."""
        self._filler.unlink()


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    directory = tmp_path / "disk"
    directory.mkdir()
    if not sys.platform.startswith("linux"):
        pytest.skip("mounts as Linux has them")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(directory)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed")
    yield Volume(directory)
    subprocess.run(["umount", "-l", str(directory)], check=True)
