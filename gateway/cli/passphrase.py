"""Where a passphrase comes from: it is asked for, or stands in a file or in the environment; never on the command line."""

import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.pki import files, keys
from gateway.pki.errors import PkiError

PASSPHRASE_MAX: Final = 1_024
"""Bytes."""

HELP: Final = "`ask`, `file:PATH` (its first line) or `env:NAME`."

Passphrase = Annotated[str, typer.Option(help=f"Of the authority's key: {HELP}", metavar="SOURCE")]
KeyPassphrase = Annotated[str, typer.Option(help=f"Of the leaf's key: {HELP}", metavar="SOURCE")]


def passphrase(source: str, what: str, *, new: bool = False) -> bytes | None:
    """The passphrase that `source` names; None when it names none.  A new one is asked for twice.  Raises PkiError."""
    if not source:
        return None
    try:
        data = _text(source, what, new).encode()
    except UnicodeError:
        # Typed in another encoding, or an environment of one.
        raise PkiError(f"the passphrase of {what} is not UTF-8") from None
    if not 4 <= len(data) <= PASSPHRASE_MAX:
        raise PkiError(f"a passphrase has 4 to {PASSPHRASE_MAX} bytes")
    return data


def _text(source: str, what: str, new: bool) -> str:
    kind, _, rest = source.partition(":")
    if source == "ask":
        text: str = typer.prompt(f"passphrase of {what}", hide_input=True, confirmation_prompt=new, err=True)
    elif kind == "file" and rest:
        text = files.read_text(Path(rest)).split("\n", 1)[0].rstrip("\r")
    elif kind == "env" and rest:
        text = os.environ.get(rest, "")
        if not text:
            raise PkiError(f"the environment has no {rest}")
    else:
        # What was written may be the passphrase itself, so it is not repeated.
        raise PkiError("a passphrase comes from `ask`, `file:PATH` or `env:NAME`")
    return text


def for_key(source: str, path: Path, what: str) -> bytes | None:
    """The passphrase for an existing key: from `source`, else asked for if one is needed and somebody is there."""
    if source:
        return passphrase(source, what)
    if path.exists() and keys.is_encrypted(path) and sys.stdin.isatty():
        return passphrase("ask", what)
    return None
