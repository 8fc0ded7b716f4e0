"""Fixtures of the tests with faults."""

from small_disk import volume

__all__ = ["volume"]
