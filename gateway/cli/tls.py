"""`gateway tls`: looking at TLS servers."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import legible_output
from gateway.pki import names, probe
from gateway.pki.authority import load_certificates, now
from gateway.pki.errors import PkiError

app = typer.Typer(help="Looking at TLS servers.", no_args_is_help=True, add_completion=False)


@app.callback()
def tls() -> None:
    """Looking at TLS servers."""
    legible_output()


@app.command()
def check(
    address: Annotated[str, typer.Argument(help="HOST:PORT")],
    ca: Annotated[
        list[Path], typer.Option(help="A root to trust, instead of the system's; may be given often.")
    ] = [],  # noqa: B006
    server_name: Annotated[str, typer.Option(help="The name to ask for and compare, instead of HOST.")] = "",
    cert: Annotated[Path | None, typer.Option(help="A client certificate, with its chain.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its key.")] = None,
    alpn: Annotated[list[str], typer.Option(help="A protocol to offer; may be given often.")] = [],  # noqa: B006
    warn_days: Annotated[int, typer.Option(min=0, help="Days left that are a problem.")] = 30,
) -> None:
    """What a client sees: chain, names, dates, protocols, ciphers.  Exit code 0, or 1 with each problem in a line."""
    try:
        host, port = probe.parse_address(address)
        roots = [found for path in ca for found in load_certificates(path)]
        seen = probe.probe(probe.Target(host, port, server_name, roots, cert, key, alpn), now())
    except (PkiError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    _show(seen)
    problems = list(seen.problems)
    for certificate in seen.chain:
        left = (certificate.not_valid_after_utc - now()).days
        if 0 <= left < warn_days:
            problems.append(f"{certificate.subject.rfc4514_string()} expires in {left} days")
    for problem in problems:
        typer.echo(f"problem     {problem}")
    if problems:
        raise typer.Exit(1)
    typer.echo("no problems found")


def _show(seen: probe.Seen) -> None:
    agreed = f" {seen.alpn}" if seen.alpn else ""
    typer.echo(f"agreed on   {seen.version} {seen.cipher}{agreed}")
    for number, certificate in enumerate(seen.chain):
        left = (certificate.not_valid_after_utc - now()).days
        typer.echo(
            f"chain {number}     {certificate.subject.rfc4514_string()}, by "
            f"{certificate.issuer.rfc4514_string()}, until {certificate.not_valid_after_utc:%Y-%m-%d} ({left} days)"
        )
    if seen.chain:
        alternative = [names.shown(name) for name in names.alternative_names_of(seen.chain[0])]
        typer.echo(f"names       {', '.join(alternative) or 'none'}")
    for version, ciphers in seen.versions.items():
        typer.echo(f"{version:<11} {' '.join(ciphers)}")
    if seen.wants_certificate:
        typer.echo("client      a certificate is needed; before TLS 1.3 nothing is shown without one")
