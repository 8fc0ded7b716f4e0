"""The checker is checked: deliberate faults must be found, those that are obvious within a few runs.

All of them within two thousand, which takes hours: `make soak`, or `python -m tests.simulation --check 2000`.
"""

import os

import pytest

import gateway
from tests.simulation.deliberate import FAULTS
from tests.simulation.test_simulation import simulate

SEEDS = os.environ.get("FAULT_SEEDS", "")

OBVIOUS = (
    "confirmations leave before they are safe",
    "what left is not written",
    "notes are not removed",
    "stretches overlap with what is in memory",
    "after a crash nothing is suspect",
)
"""Those that some of the first runs find."""

pytestmark = [
    pytest.mark.timeout(0 if SEEDS else 900),
    pytest.mark.skipif(
        gateway.is_compiled(), reason="the faults are put into plain classes: compiled ones take none"
    ),
]


def test_obvious_faults_are_found_within_a_few_runs() -> None:
    found = simulate("--check", "4", "--faults", ",".join(OBVIOUS))
    assert found.returncode == 0, found.stdout + found.stderr
    assert len(found.stdout.splitlines()) >= len(OBVIOUS)


def test_there_are_enough_faults_to_check_the_checker_by() -> None:
    assert len(FAULTS) >= 25


@pytest.mark.skipif(not SEEDS, reason="takes hours: FAULT_SEEDS=2000")
def test_every_deliberate_fault_is_found() -> None:
    found = simulate("--check", SEEDS, "--jobs", str(os.cpu_count() or 1))
    assert found.returncode == 0, found.stdout + found.stderr
