"""`gateway store`: look after the store's file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from gateway.cli.output import legible
from gateway.cli.settings import ConfigPath, load_or_exit
from gateway.cli.status import NoGateway, ask
from gateway.store import maintenance, upkeep
from gateway.store.errors import StoreDamaged, StoreError, StoreRefused

app = typer.Typer(help="The store of persistent messages.", no_args_is_help=True)

PIPE_WIDTH: Final = 200

EXIT_DAMAGED: Final = 2
"""Something in the store is wrong."""

StorePath = Annotated[
    Path | None, typer.Option("--store", help="The store's file; by default that of the configuration.")
]


@app.callback()
def store() -> None:
    """The store of persistent messages."""


@app.command()
def check(config: ConfigPath = None, path: StorePath = None) -> None:
    """Read everything, and say what is wrong: exit code 0 for a sound store, 2 for a damaged one, 1 for none."""
    file = _file(path, config)
    with _errors(), _bar("checking") as progress:
        faults = maintenance.check(file, progress)
    for fault in faults:
        typer.echo(legible(fault))
    if faults:
        raise typer.Exit(EXIT_DAMAGED)
    typer.echo(f"{file}: sound")


@app.command()
def backup(file: Path, config: ConfigPath = None, path: StorePath = None) -> None:
    """Copy the store to FILE, which must not be there yet.  The gateway may be running."""
    with _errors(), _bar("copying") as progress:
        size = maintenance.backup(_file(path, config), file, progress)
    typer.echo(f"{file}: {size:,} bytes")


@app.command()
def restore(file: Path, config: ConfigPath = None, path: StorePath = None) -> None:
    """Put the backup FILE in the place of the store, which is kept under another name.  The gateway must be stopped."""
    target = _file(path, config)
    with _errors(), _bar("restoring") as progress:
        kept = maintenance.restore(target, file, progress)
    typer.echo(
        f"{target}: restored from {file}" + ("" if kept is None else f"; what was there is kept as {kept}")
    )


@app.command()
def stats(config: ConfigPath = None, path: StorePath = None) -> None:
    """What the store holds.  The gateway may be running."""
    file = _file(path, config)
    with _errors():
        found = maintenance.stats(file)
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    end = "in use, or ended by a crash" if not found.clean else "ended in order"
    console.print(
        f"{file}: store version {found.version}, start {found.epoch}, {end}; {found.file_bytes:,} bytes, "
        f"log {found.log_bytes:,}, free {found.free_bytes:,}"
        + (f"; segments {found.segments}, {found.segment_bytes:,} bytes" if found.segments else "")
    )
    table = Table("queue", box=None, pad_edge=False)
    for heading in ("messages", "bytes", "first", "last"):
        table.add_column(heading, justify="right")
    for queue in found.queues:
        table.add_row(
            legible(queue.key),
            f"{queue.messages:,}",
            f"{queue.bytes:,}",
            str(queue.oldest),
            str(queue.newest),
        )
    console.print(table)
    notes = ", ".join(f"{count} {space}" for space, count in found.notes.items()) or "no session state"
    console.print(f"{found.retained} retained; {notes}; {found.quarantined} set aside")


@app.command()
def compact(config: ConfigPath = None, path: StorePath = None) -> None:
    """Give back what the store's file takes and does not need.  A running gateway is asked to do it.

    It is asked by way of its [admin] endpoint.
    """
    file = _file(path, config)
    if path is None and _asked_to_compact(load_or_exit(config).admin.uri):
        typer.echo(f"{file}: the running gateway compacts it; `gateway status --json` says when it is done")
        return
    with _errors():
        if not file.exists():
            raise StoreRefused(f"{file}: there is no store")
        before, after = upkeep.compact(file)
    typer.echo(f"{file}: {before:,} bytes before, {after:,} now")


def _asked_to_compact(address: str) -> bool:
    """Has a running gateway been asked?  False when none answers."""
    try:
        return ask(address, "/compact", b"").get("compacting") is True
    except NoGateway:
        return False


@app.command("why-kept")
def why_kept(config: ConfigPath = None, path: StorePath = None) -> None:
    """What makes the file as large as it is, the largest first.  The gateway may be running."""
    file = _file(path, config)
    with _errors():
        lines = maintenance.why_kept(file)
    for line in lines or [f"{file}: nothing is kept"]:
        typer.echo(legible(line))


def _file(path: Path | None, config: Path | None) -> Path:
    if path is not None:
        return path
    configured = load_or_exit(config).store.path
    if not configured:
        typer.echo("the configuration keeps everything in memory: [store] path is empty", err=True)
        raise typer.Exit(1)
    return Path(configured)


@contextmanager
def _errors() -> Iterator[None]:
    """What is wrong with a store is one line, and exit code 1, or 2 for damage."""
    try:
        yield
    except StoreError as error:
        typer.echo(legible(str(error)), err=True)
        raise typer.Exit(EXIT_DAMAGED if isinstance(error, StoreDamaged) else 1) from None
    except OSError as error:
        # Looking whether a file is there fails too, as for a name that is too long.
        typer.echo(legible(f"{str(error.filename)[:200]}: {error.strerror}"), err=True)
        raise typer.Exit(1) from None


@contextmanager
def _bar(what: str) -> Iterator[maintenance.Progress]:
    """A progress bar on a terminal, nothing on a pipe."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield progress
