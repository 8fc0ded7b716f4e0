"""Freed memory is kept where the C library can be told so."""

import platform
import sys

from gateway.net.memory import keep_freed_memory


def test_glibc_is_told_and_others_are_left_alone() -> None:
    glibc = sys.platform == "linux" and platform.libc_ver()[0] == "glibc"
    assert keep_freed_memory() == glibc
