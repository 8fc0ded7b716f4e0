"""`gateway pki roll-over`: another root."""

from typing import Annotated

import typer

from gateway.cli.passphrase import HELP, passphrase
from gateway.cli.pki import CERTS, Dir, KeyType, authority_passphrase, said, tell
from gateway.pki import rollover
from gateway.pki.authority import load_certificate
from gateway.pki.folder import Folder
from gateway.pki.profiles import ROOT_DAYS


def roll_over(
    dir: Dir = CERTS,
    finish: Annotated[bool, typer.Option("--finish", help="The old root is out of use from now on.")] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Finish although leaves are in use that only the old root knows.")
    ] = False,
    subject: Annotated[
        str, typer.Option(help="Name of the new root; empty is that of the first, with a number.")
    ] = "",
    key_type: KeyType = "p256",
    days: Annotated[int, typer.Option(min=1, help="Lifetime of the new root.")] = ROOT_DAYS,
    old_passphrase: Annotated[
        str, typer.Option(help=f"Of the key of the root that is there: {HELP}", metavar="SOURCE")
    ] = "",
    passphrase_source: Annotated[
        str,
        typer.Option(
            "--passphrase", help=f"For the new keys; to finish, of the new root's: {HELP}", metavar="SOURCE"
        ),
    ] = "",
) -> None:
    """Make another root and an intermediate below it; devices with either root go on until this is finished."""
    folder = Folder(dir)
    with said():
        if finish:
            secret = authority_passphrase(folder, passphrase_source, folder.roots()[-1])
            _say_finished(rollover.finish(folder, secret, anyway=anyway))
            return
        secret = passphrase(passphrase_source, "the new authorities", new=True)
        old_secret = authority_passphrase(folder, old_passphrase, folder.roots()[-1])
        plan = rollover.NewRoot(subject, key_type, days, old_secret, secret, intermediate_passphrase=secret)
        begun = rollover.begin(folder, plan)
        for role in (begun.new, begun.intermediate):
            tell(dir / f"{role}.crt", load_certificate(dir / f"{role}.crt"))
        lists = f"{begun.new}.crl and {begun.intermediate}.crl"
        typer.echo(
            f"gateways need {begun.new}.crt and {begun.intermediate}.crt in `ca`, {lists} in `crl` where they have lists; "
            f"bring {begun.new}.crt to all devices, `renew` each leaf, and then `roll-over --finish`"
        )


def _say_finished(finished: rollover.Finished) -> None:
    typer.echo(
        f"{finished.new} has taken the place of {finished.old}: take {finished.old}.crt out of `ca` and its list out "
        "of `crl`, and its key out of use"
    )
    for name in finished.left:
        typer.echo(f"not believed any more: {name}")
