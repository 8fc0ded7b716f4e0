"""`gateway check`: look at a configuration without starting."""

import os
from collections.abc import Callable
from pathlib import Path

import typer

from gateway.app import tls_problems
from gateway.cli.settings import ConfigPath, load_or_exit
from gateway.config import Config, PkiSection
from gateway.pki.errors import PkiError
from gateway.pki.folder import Folder
from gateway.store.errors import StoreRefused
from gateway.store.recovery import refusal


def check(config: ConfigPath = None) -> None:
    """Validate a configuration, and try the certificates and paths it names.

    Exit code 0 and a line for each connector, or 1 and a line for each mistake.
    """
    settings = load_or_exit(config)
    problems = tls_problems(settings) + path_problems(settings)
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(1)
    for connector in settings.connector:
        typer.echo(f"{connector.name}: {connector.uri}")
    typer.echo("the configuration is valid")


def path_problems(config: Config) -> list[str]:
    """Where the store and Unix sockets could not be made, a line each.  A gateway may be running there."""
    problems: list[str] = []
    if config.store.path:
        problems += [f"store.path: {text}" for text in _found(_store_problems, config.store.path)]
    problems += [f"pki.dir: {text}" for text in _folder_of_keys_problems(config.pki)]
    for connector in config.connector:
        if connector.path:
            problems += [
                f"connector[{connector.name}]: {text}" for text in _found(_socket_problems, connector.path)
            ]
    return problems


def _folder_of_keys_problems(section: PkiSection) -> list[str]:
    if not (section.renew_lists or section.uri or section.ocsp):
        return []
    try:
        _ = Folder(section.dir).issuing()
    except PkiError as error:
        return [str(error)]
    return []


def _found(look: Callable[[Path], list[str]], path: str) -> list[str]:
    """What `look` finds; that it cannot look, as for a name that is too long, is a problem too."""
    try:
        return look(Path(path))
    except OSError as error:
        return [f"{path[:200]}: {error.strerror}"]


def _store_problems(path: Path) -> list[str]:
    if path.exists():
        if not path.is_file():
            return [f"{path} is no file"]
        if not os.access(path, os.R_OK | os.W_OK):
            return [f"{path} cannot be read and written"]
        try:
            return [fault for fault in (refusal(path),) if fault]
        except StoreRefused as error:
            return [str(error)]
    # Folders that are missing are made at the start.
    there = next(parent for parent in path.absolute().parents if parent.exists())
    return _folder_problems(there)


def _socket_problems(path: Path) -> list[str]:
    if path.exists() and not path.is_socket():
        return [f"{path} is there, and no socket"]
    return _folder_problems(path.parent)


def _folder_problems(folder: Path) -> list[str]:
    if not folder.is_dir():
        return [f"{folder} is no folder"]
    return [] if os.access(folder, os.W_OK | os.X_OK) else [f"{folder} cannot be written"]
