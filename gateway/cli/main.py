"""`gateway`: the commands put together."""

import typer

from gateway.cli import pki, tls
from gateway.cli.check import check
from gateway.cli.run import run
from gateway.cli.status import status
from gateway.cli.user import app as user
from gateway.cli.version import version

app = typer.Typer(
    help="A multi-protocol message broker.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (run, check, status, version):
    app.command()(command)
app.add_typer(pki.app, name="pki")
app.add_typer(tls.app, name="tls")
app.add_typer(user, name="user")


def main() -> None:
    """The console command."""
    app()
