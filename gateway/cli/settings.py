"""Finding and loading the configuration for a command."""

from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.config import Config, ConfigError, load

DEFAULT_PATH: Final = Path("conf/gateway.toml")

ConfigPath = Annotated[
    Path | None,
    typer.Argument(help="TOML file; without it conf/gateway.toml if there is one, else defaults."),
]


def default_path(path: Path | None) -> Path | None:
    """The file that is meant; None for none."""
    return DEFAULT_PATH if path is None and DEFAULT_PATH.exists() else path


def load_or_exit(path: Path | None) -> Config:
    """The configuration; on mistakes, one line for each to stderr and exit code 1."""
    try:
        return load(default_path(path))
    except ConfigError as error:
        for problem in error.problems:
            typer.echo(problem, err=True)
        raise typer.Exit(1) from None
