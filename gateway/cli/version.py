"""`gateway version`."""

import platform

import typer

import gateway


def version() -> None:
    """Say which version this is, and whether its hot rooms are compiled."""
    form = "compiled" if gateway.is_compiled() else "plain Python"
    typer.echo(f"gateway-broker {gateway.__version__} ({form}), Python {platform.python_version()}")
