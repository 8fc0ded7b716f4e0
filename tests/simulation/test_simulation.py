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


def simulate(
    *arguments: str, where: Path = ROOT, around: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command's own process: while it runs, it is always the time that it says."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=where,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(around or {})},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("seeds, mixture", [(40, ()), (10, ("--dense",))], ids=["usual", "dense"])
def test_one_seed_is_one_run_bit_for_bit_in_whichever_process(
    seeds: int, mixture: tuple[str, ...], tmp_path: Path
) -> None:
    # Each line, each byte that either side hears, each byte that a process leaves on the disk.
    elsewhere = tmp_path / "some" / "other place"
    elsewhere.mkdir(parents=True)
    asked = ("--seeds", f"1-{seeds}", "--digests", *mixture)
    one = simulate(*asked, where=tmp_path, around={"PYTHONHASHSEED": "1", "TZ": "UTC"})
    # In other processes, behind other runs, with sets and times of the day in another order.
    other = simulate(
        *asked, "--jobs", "2", where=elsewhere, around={"PYTHONHASHSEED": "2", "TZ": "Pacific/Auckland"}
    )
    digests = one.stdout.splitlines()[:-1]
    assert len(set(digests)) == len(digests) == seeds, one.stdout + one.stderr
    assert other.stdout.splitlines()[:-1] == digests


def test_a_run_is_the_same_alone_and_as_it_is_shown() -> None:
    first = simulate("--seed", "2")
    assert first.stdout == simulate("--seed", "2").stdout
    assert "all came out" in first.stdout
    # Behind another run in the same process too.
    behind = simulate("--seeds", "1-2", "--digests")
    alone = simulate("--seeds", "2-2", "--digests")
    assert behind.stdout.splitlines()[1] == alone.stdout.splitlines()[0]


def test_every_promise_is_kept_in_every_run() -> None:
    found = simulate("--seeds", SEEDS, "--jobs", str(os.cpu_count() or 1))
    assert found.returncode == 0, found.stdout + found.stderr
