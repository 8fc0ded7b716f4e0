"""`gateway`: the commands put together."""

import sys
import warnings
from typing import Annotated

import typer

from gateway.cli import pki, tls
from gateway.cli.check import check
from gateway.cli.help import help_command
from gateway.cli.output import legible_output
from gateway.cli.reload import reload
from gateway.cli.rollover import roll_over
from gateway.cli.run import run
from gateway.cli.status import status
from gateway.cli.store import app as store
from gateway.cli.user import app as user
from gateway.cli.version import said, version

app = typer.Typer(
    help="A multi-protocol message broker.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Markup would take `[[user]]` and `[admin]` in help texts for its own.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(said())
        raise typer.Exit


@app.callback()
def gateway(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """A multi-protocol message broker."""
    legible_output()


for command in (run, check, status, reload, version):
    app.command()(command)
app.command(name="help")(help_command)
pki.app.command(name="roll-over")(roll_over)
app.add_typer(store, name="store")
app.add_typer(pki.app, name="pki")
app.add_typer(tls.app, name="tls")
app.add_typer(user, name="user")


def main() -> None:
    """The console command."""
    if not sys.warnoptions:
        # What libraries have to say about their own callers helps no operator.
        warnings.simplefilter("ignore")
    app()
