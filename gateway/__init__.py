"""A multi-protocol message broker: one core router behind a connector for each protocol."""

__version__ = "0.1.0"


def is_compiled() -> bool:
    """Are the hot rooms compiled extensions, or plain Python?"""
    from gateway.core import router

    return str(router.__file__).endswith((".so", ".pyd"))
