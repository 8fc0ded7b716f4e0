"""The simulation itself: one seed is one run; and a few hundred runs, each of which must keep every promise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEEDS = "1-240"


# Runs take as long as the machine is busy; what they say does not depend on it.
pytestmark = pytest.mark.timeout(900)


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command's own process: while it runs, it is always the time that it says."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_one_seed_is_one_run_bit_for_bit() -> None:
    first = simulate("--seed", "2")
    # Behind another run in the same process too.
    behind = simulate("--seeds", "1-2", "--digests")
    alone = simulate("--seeds", "2-2", "--digests")
    assert first.stdout == simulate("--seed", "2").stdout
    assert "all came out" in first.stdout
    assert behind.stdout.splitlines()[1] == alone.stdout.splitlines()[0]


def test_every_promise_is_kept_in_every_run() -> None:
    found = simulate("--seeds", SEEDS, "--jobs", str(os.cpu_count() or 1))
    assert found.returncode == 0, found.stdout + found.stderr
