"""`gateway user`: what an operator needs to write [[user]] tables."""

import sys
from typing import NoReturn

import typer

from gateway.security.passwords import SECRET_BYTES_MAX, hash_password

app = typer.Typer(help="Users of the gateway.", no_args_is_help=True)


@app.callback()
def user() -> None:
    """Users of the gateway."""


@app.command("hash")
def hash_() -> None:
    """Print the argon2id hash of a password, for `hash` of a [[user]].

    The password is asked for twice; from a pipe, it is the first line.
    """
    try:
        if sys.stdin.isatty():
            password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        else:
            password = sys.stdin.readline().rstrip("\r\n")
        # Decoded by a locale that takes any byte, what is not UTF-8 shows only here.
        size = len(password.encode())
    except UnicodeError:
        _refused("the password is not UTF-8, as clients send it")
    if not 1 <= size <= SECRET_BYTES_MAX:
        _refused(
            f"the password has {size} bytes: 1 to {SECRET_BYTES_MAX} are taken"
            if size
            else "the password is empty"
        )
    typer.echo(hash_password(password))


def _refused(why: str) -> NoReturn:
    typer.echo(why, err=True)
    raise typer.Exit(1)
