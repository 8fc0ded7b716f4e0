"""The fixture that runs a test against every implementation of the store."""

from store_doubles import harness

__all__ = ["harness"]
