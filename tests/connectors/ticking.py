"""What the tests of turns need."""


class Ticking:
    """A clock that goes on by one millisecond each time somebody looks at it."""

    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> int:
        self.ms += 1
        return self.ms
