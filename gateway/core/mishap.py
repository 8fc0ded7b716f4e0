"""What has gone wrong in one place and is to be raised in another."""

from typing import final


@final
class Mishap:
    """The first error of something that goes on all the same, until whoever is to know of it has it raised.

    An error knows the frames that it came through, and those whoever keeps it: together they would stay until the
    collector comes, with all that was to be published.  So it is raised once, and nothing here has it any more.
    """

    __slots__ = ("_error",)

    def __init__(self) -> None:
        self._error: Exception | None = None

    @property
    def there(self) -> bool:
        """Is there one, not raised yet?"""
        return self._error is not None

    def keep(self, error: Exception) -> None:
        """One has happened; it is the first that counts."""
        if self._error is None:
            self._error = error

    def come_out(self) -> None:
        """Raise it, if there is one."""
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                # Its traceback knows this frame too.
                del error
