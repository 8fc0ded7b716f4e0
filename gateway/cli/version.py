"""`gateway version`."""

import platform

import typer

import gateway


def said() -> str:
    """Version, form and Python, in one line."""
    form = "compiled" if gateway.is_compiled() else "plain Python"
    return f"gateway-broker {gateway.__version__} ({form}), Python {platform.python_version()}"


def version() -> None:
    """Say which version this is, and whether its hot rooms are compiled."""
    typer.echo(said())
