"""A multi-protocol message broker: one core router behind a connector for each protocol."""

__version__ = "0.1.0"
