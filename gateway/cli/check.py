"""`gateway check`: look at a configuration without starting."""

import typer

from gateway.app import tls_problems
from gateway.cli.settings import ConfigPath, load_or_exit


def check(config: ConfigPath = None) -> None:
    """Validate a configuration and the certificates it names.

    Exit code 0 and a line for each connector, or 1 and a line for each mistake.
    """
    settings = load_or_exit(config)
    problems = tls_problems(settings)
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(1)
    for connector in settings.connector:
        typer.echo(f"{connector.name}: {connector.uri}")
    typer.echo("the configuration is valid")
