"""`gateway user`: what an operator needs to write [[user]] tables."""

import sys

import typer

from gateway.security.passwords import hash_password

app = typer.Typer(help="Users of the gateway.", no_args_is_help=True)


@app.callback()
def user() -> None:
    """Users of the gateway."""


@app.command("hash")
def hash_() -> None:
    """Print the argon2id hash of a password, for `hash` of a [[user]].

    The password is asked for twice; from a pipe, it is the first line.
    """
    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        typer.echo("the password is empty", err=True)
        raise typer.Exit(1)
    typer.echo(hash_password(password))
