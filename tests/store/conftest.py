"""The fixture that runs a test against every implementation of the store, and a disk that can be filled."""

from small_disk import volume
from store_doubles import harness

__all__ = ["harness", "volume"]
