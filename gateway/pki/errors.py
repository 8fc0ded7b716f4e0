"""What went wrong, in words for whoever gave the command."""

from typing import final


@final
class PkiError(Exception):
    """A command could not be carried out; nothing was changed unless the text says so."""
