"""Freed memory is kept where the C library can be told so."""

import platform
import subprocess
import sys

import pytest

from gateway.net.memory import QUIET_TICKS, TRIM_BYTES, HeapTrim, keep_freed_memory


def test_glibc_is_told_and_others_are_left_alone() -> None:
    glibc = sys.platform == "linux" and platform.libc_ver()[0] == "glibc"
    assert keep_freed_memory() == glibc


def test_the_heap_is_looked_through_once_messages_have_left_and_it_is_quiet() -> None:
    trimmed: list[int] = []
    heap = HeapTrim(lambda: trimmed.append(1))
    heap.look(TRIM_BYTES + 100)
    for left in range(TRIM_BYTES, 0, -(TRIM_BYTES // 50)):
        heap.look(left)
    assert trimmed == []
    for _ in range(QUIET_TICKS + 1):
        heap.look(100)
    assert trimmed == [1]
    # Once is enough, and little is not worth it.
    for resident in [*[100] * 20, TRIM_BYTES // 2, *[100] * 20]:
        heap.look(resident)
    assert trimmed == [1]


TRIAL = """
import time
from gateway.net.memory import keep_freed_memory, trim_heap
def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096
keep_freed_memory()
kept = []
bodies = []
for _ in range(200_000):
    bodies.append(bytes(1000))
    kept.append(bytes(600)) if len(bodies) % 100 == 0 else None
before = resident()
del bodies
trim_heap()
until = time.monotonic() + 30
while resident() > before - 100_000_000 and time.monotonic() < until:
    time.sleep(0.01)
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's malloc_trim")
def test_pages_between_what_is_still_needed_are_given_back() -> None:
    given_back = subprocess.run(
        [sys.executable, "-c", TRIAL], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(given_back.stdout) >= 100_000_000
