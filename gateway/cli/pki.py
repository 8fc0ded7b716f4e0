"""`gateway pki`: certificates of one's own."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from cryptography import x509
from rich.console import Console
from rich.table import Table

from gateway.cli.output import legible_output
from gateway.cli.passphrase import HELP, KeyPassphrase, Passphrase, for_key, passphrase
from gateway.pki import check as checking
from gateway.pki import export as exporting
from gateway.pki import files, importing, issue, keys, names, revoking, show
from gateway.pki.authority import later, load_certificate, load_certificates, now
from gateway.pki.database import REASONS, hexadecimal
from gateway.pki.errors import PkiError
from gateway.pki.folder import INTERMEDIATE, INTERMEDIATE_SUBJECT, ROOT, ROOT_SUBJECT, Folder, Plan
from gateway.pki.profiles import INTERMEDIATE_DAYS, LEAF_DAYS, PROFILES, ROOT_DAYS

app = typer.Typer(
    help="Certificates: authorities of one's own, and what they issue.",
    no_args_is_help=True,
    add_completion=False,
)

PIPE_WIDTH: Final = 160

HOURS_MAX: Final = 100_000_000
"""More than any calendar has; so much is refused, and can still be counted."""

Dir = Annotated[Path, typer.Option("--dir", help="The PKI folder.")]
Name = Annotated[str, typer.Option(help="Of the files under issued/, and the common name.")]
Dns = Annotated[list[str], typer.Option(help="A DNS name; may be given often.")]
Ip = Annotated[list[str], typer.Option(help="An IP address; may be given often.")]
Uri = Annotated[list[str], typer.Option(help="A URI; may be given often.")]
Email = Annotated[list[str], typer.Option(help="An e-mail address; may be given often.")]
Subject = Annotated[str, typer.Option(help="Instead of CN=NAME: CN=device-17,OU=Attic,O=Example")]
Days = Annotated[int, typer.Option(min=1, help="How long it is valid.")]
LeafDays = Annotated[
    int,
    typer.Option(
        min=0, help="How long it is valid; 0 is as the authority's .cnf says, or what is left of it."
    ),
]
KeyType = Annotated[str, typer.Option(help=f"One of {', '.join(keys.KEY_TYPES)}.")]
Kind = Annotated[str, typer.Argument(help=f"One of {', '.join(PROFILES)}.", metavar="PROFILE")]
CrlUri = Annotated[
    str, typer.Option(help="Where the revocation list can be fetched, to be told in the certificate.")
]

Publish = Annotated[bool, typer.Option(help="Publish the revocation list at once.")]

CERTS: Final = Path("certs")


@app.callback()
def pki() -> None:
    """Certificates: authorities of one's own, and what they issue."""
    legible_output()


@contextlib.contextmanager
def said() -> Iterator[None]:
    """What cannot be done is said in a line, with exit code 1."""
    try:
        yield
    except PkiError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        # Looking whether a file is there fails too, as for a name that is too long.
        typer.echo(f"{error.filename}: {error.strerror}", err=True)
        raise typer.Exit(1) from None


def authority_passphrase(folder: Folder, source: str, role: str = "") -> bytes | None:
    """Without a role that of the one that issues."""
    authority = folder.authority(role or folder.intermediates()[-1])
    return for_key(source, authority.key_path, authority.name)


def _order(
    profile: str,
    name: str,
    alternative: list[x509.GeneralName],
    subject: str = "",
    days: int = LEAF_DAYS,
    key_type: str = "p256",
    key_passphrase: str = "",
    crl_uri: str = "",
) -> issue.Order:
    secret = passphrase(key_passphrase, f"the key of {name}", new=True)
    return issue.Order(profile, name, subject, alternative, days, key_type, secret, crl_uri)


def tell(path: Path, certificate: x509.Certificate) -> None:
    alternative = ", ".join([names.shown(name) for name in names.alternative_names_of(certificate)])
    typer.echo(
        f"{path}: {certificate.subject.rfc4514_string()}{f' for {alternative}' if alternative else ''}, "
        f"until {certificate.not_valid_after_utc:%Y-%m-%d}"
    )


@app.command()
def init(
    dir: Dir = CERTS,
    root_subject: Annotated[str, typer.Option(help="Name of the root.")] = ROOT_SUBJECT,
    intermediate_subject: Annotated[
        str, typer.Option(help="Name of the intermediate.")
    ] = INTERMEDIATE_SUBJECT,
    key_type: KeyType = "p256",
    root_days: Annotated[int, typer.Option(min=1, help="Lifetime of the root.")] = ROOT_DAYS,
    intermediate_days: Annotated[
        int, typer.Option(min=1, help="Lifetime of the intermediate.")
    ] = INTERMEDIATE_DAYS,
    root_passphrase: Annotated[str, typer.Option(help=f"For the root's key: {HELP}", metavar="SOURCE")] = "",
    passphrase_source: Annotated[
        str, typer.Option("--passphrase", help=f"For both authorities' keys: {HELP}", metavar="SOURCE")
    ] = "",
    server: Annotated[
        str, typer.Option(help="Also issue a server certificate of that name, for this machine.")
    ] = "",
    client: Annotated[
        list[str], typer.Option(help="Also issue a client certificate; may be given often.")
    ] = [],  # noqa: B006
    publish: Annotated[
        str,
        typer.Option(help="Where lists and OCSP will be served, as http://HOST:PORT: certificates say so."),
    ] = "",
) -> None:
    """Make a root and an intermediate authority.  What is there is never overwritten."""
    folder = Folder(dir)
    with said():
        secret = passphrase(passphrase_source, "the authorities", new=True)
        plan = Plan(
            root_subject,
            intermediate_subject,
            key_type,
            root_days,
            intermediate_days,
            passphrase(root_passphrase, "the root", new=True) or secret,
            secret,
            publish.rstrip("/"),
        )
        folder.init(plan)
        for role in (ROOT, INTERMEDIATE):
            tell(dir / f"{role}.crt", load_certificate(dir / f"{role}.crt"))
        if server:
            here = names.alternative_names(["localhost"], ["127.0.0.1", "::1"])
            tell(
                folder.leaf(server).chain,
                issue.issue(folder, issue.Order("server", server, "", here), secret),
            )
        for name in client:
            tell(folder.leaf(name).chain, issue.issue(folder, issue.Order("client", name), secret))
        if not plan.root_passphrase:
            typer.echo(f"the key of the root is not encrypted: move {dir / ROOT / 'private'} to a safe place, "
                       "or give a --root-passphrase next time", err=True)  # fmt: skip


@app.command()
def intermediate(
    dir: Dir = CERTS,
    subject: Annotated[str, typer.Option(help="Its name; empty is that of the first, with a number.")] = "",
    key_type: KeyType = "p256",
    days: Annotated[
        int, typer.Option(min=0, help=f"Lifetime; 0 is {INTERMEDIATE_DAYS}, or what is left of the root.")
    ] = 0,
    root_passphrase: Annotated[str, typer.Option(help=f"Of the root's key: {HELP}", metavar="SOURCE")] = "",
    passphrase_source: Annotated[
        str, typer.Option("--passphrase", help=f"For the new key: {HELP}", metavar="SOURCE")
    ] = "",
) -> None:
    """Make a further intermediate with a key of its own, which issues from now on.  The one before is kept."""
    folder = Folder(dir)
    with said():
        secret = passphrase(passphrase_source, "the new authority", new=True)
        root_secret = authority_passphrase(folder, root_passphrase, folder.roots()[-1])
        role = folder.add_intermediate(subject, key_type, days, root_secret, secret)
        tell(dir / f"{role}.crt", load_certificate(dir / f"{role}.crt"))
        typer.echo(f"gateways need {dir / role}.crt in `ca`, and {role}.crl in `crl` where they have lists; then "
                   "`renew` each leaf, and revoke the old intermediate when none of its leaves is in use")  # fmt: skip


@app.command(name="issue")
def issue_command(
    profile: Kind,
    name: Name,
    dir: Dir = CERTS,
    dns: Dns = [],  # noqa: B006
    ip: Ip = [],  # noqa: B006
    uri: Uri = [],  # noqa: B006
    email: Email = [],  # noqa: B006
    subject: Subject = "",
    days: LeafDays = 0,
    key_type: KeyType = "p256",
    crl_uri: CrlUri = "",
    passphrase: Passphrase = "",
    key_passphrase: KeyPassphrase = "",
) -> None:
    """Make a key and a certificate: issued/NAME.key, NAME.crt and NAME-chain.crt."""
    folder = Folder(dir)
    with said():
        alternative = names.alternative_names(dns, ip, uri, email)
        order = _order(profile, name, alternative, subject, days, key_type, key_passphrase, crl_uri)
        certificate = issue.issue(folder, order, authority_passphrase(folder, passphrase))
        tell(folder.leaf(name).chain, certificate)


@app.command()
def csr(
    profile: Kind,
    name: Name,
    dir: Dir = CERTS,
    dns: Dns = [],  # noqa: B006
    ip: Ip = [],  # noqa: B006
    uri: Uri = [],  # noqa: B006
    email: Email = [],  # noqa: B006
    subject: Subject = "",
    key_type: KeyType = "p256",
    key_passphrase: KeyPassphrase = "",
) -> None:
    """Make a key and a request for another authority to sign: issued/NAME.key and NAME.csr."""
    folder = Folder(dir)
    with said():
        alternative = names.alternative_names(dns, ip, uri, email)
        order = _order(profile, name, alternative, subject, LEAF_DAYS, key_type, key_passphrase)
        issue.request(folder, order)
        typer.echo(f"{folder.leaf(name).request}: {order.subject_name().rfc4514_string()}")


@app.command()
def sign(
    profile: Kind,
    request: Annotated[Path, typer.Argument(help="The request, PEM or DER.")],
    name: Name,
    dir: Dir = CERTS,
    dns: Dns = [],  # noqa: B006
    ip: Ip = [],  # noqa: B006
    uri: Uri = [],  # noqa: B006
    email: Email = [],  # noqa: B006
    subject: Subject = "",
    days: LeafDays = 0,
    crl_uri: CrlUri = "",
    as_requested: Annotated[
        bool,
        typer.Option("--as-requested", help="Take the subject and every alternative name of the request."),
    ] = False,
    passphrase: Passphrase = "",
) -> None:
    """Sign somebody else's request, as CN=NAME.  Without names given here a server's hosts are those of the request."""
    folder = Folder(dir)
    with said():
        wanted = issue.load_request(files.read(request), str(request))
        alternative = names.alternative_names(dns, ip, uri, email)
        order = issue.Order(
            profile, name, subject, alternative, days, crl_uri=crl_uri, as_requested=as_requested
        )
        certificate = issue.sign(folder, order, wanted, authority_passphrase(folder, passphrase))
        tell(folder.leaf(name).chain, certificate)


@app.command(name="import")
def import_command(
    certificate: Annotated[
        Path, typer.Argument(help="The certificate, with its chain behind it if it has one.")
    ],
    name: Name,
    ca: Annotated[list[Path], typer.Option(help="The root it leads to; may be given often.")],
    dir: Dir = CERTS,
    key: Annotated[
        Path | None, typer.Option(help="Its key; without it, issued/NAME.key as `csr` made it.")
    ] = None,
    chain: Annotated[list[Path], typer.Option(help="Authorities in between.")] = [],  # noqa: B006
    host: Annotated[list[str], typer.Option(help="A name it must be good for; may be given often.")] = [],  # noqa: B006
    key_passphrase: KeyPassphrase = "",
) -> None:
    """Take in a certificate that was signed elsewhere, if key, chain, dates and names fit."""
    folder = Folder(dir)
    with said():
        roots = [found for path in ca for found in load_certificates(path)]
        others = [found for path in chain for found in load_certificates(path)]
        secret = for_key(key_passphrase, key or folder.leaf(name).key, f"the key of {name}")
        found = importing.import_leaf(folder, name, certificate, key, roots, others, host, secret)
        tell(folder.leaf(name).chain, found)


@app.command()
def renew(
    name: Annotated[str, typer.Argument(help="Of a leaf, or intermediate-ca.")],
    dir: Dir = CERTS,
    days: Annotated[
        int,
        typer.Option(
            min=0, help="How long it is valid; 0 is as long as usual, or what is left of the authority."
        ),
    ] = 0,
    keep_key: Annotated[bool, typer.Option("--keep-key", help="Do not make a new key.")] = False,
    passphrase: Passphrase = "",
    key_passphrase: KeyPassphrase = "",
) -> None:
    """Issue a certificate with the same names again.  The old one stays valid until it expires or is revoked."""
    folder = Folder(dir)
    with said():
        authority = name in folder.intermediates()
        secret = authority_passphrase(folder, passphrase, folder.roots()[-1] if authority else "")
        if authority:
            made = issue.renew(folder, name, days, secret)
            tell(folder.path / f"{name}.crt", made)
            return
        key_secret = for_key(key_passphrase, folder.leaf(name).key, f"the key of {name}")
        made = issue.renew(folder, name, days, secret, keep_key=keep_key, key_passphrase=key_secret)
        tell(folder.leaf(name).chain, made)


@app.command()
def revoke(
    which: Annotated[str, typer.Argument(help="Name, serial number, or intermediate-ca.")],
    dir: Dir = CERTS,
    reason: Annotated[str, typer.Option(help=f"One of {', '.join(REASONS)}.")] = "unspecified",
    publish: Publish = True,
    passphrase: Passphrase = "",
) -> None:
    """Revoke all certificates of a name, or one by its number, and publish the revocation list of their authority."""
    folder = Folder(dir)
    with said():
        secret = _list_passphrase(folder, which, passphrase) if publish else None
        change = revoking.revoke(folder, which, reason, secret, publish=publish)
        for entry in change.changed:
            typer.echo(f"revoked {hexadecimal(entry.serial)} {entry.subject}")
        for entry in change.remaining:
            typer.echo(
                f"still valid: {hexadecimal(entry.serial)} {entry.subject} until {entry.expires:%Y-%m-%d}"
            )
        _published(folder, change)


@app.command()
def release(
    which: Annotated[str, typer.Argument(help="Name or serial number.")],
    dir: Dir = CERTS,
    publish: Publish = True,
    passphrase: Passphrase = "",
) -> None:
    """Lift a certificateHold, and publish the revocation list of the authority."""
    folder = Folder(dir)
    with said():
        secret = _list_passphrase(folder, which, passphrase) if publish else None
        change = revoking.release(folder, which, secret, publish=publish)
        for entry in change.changed:
            typer.echo(f"valid again: {hexadecimal(entry.serial)} {entry.subject}")
        _published(folder, change)


def _list_passphrase(folder: Folder, which: str, source: str) -> bytes | None:
    """For the key of the authority that `which` is of."""
    return authority_passphrase(folder, source, revoking.issued_here(folder, which)[0])


def _published(folder: Folder, change: revoking.Change) -> None:
    if change.listed is None:
        typer.echo("not published: nobody knows of it until `gateway pki crl` makes the list")
    else:
        _say_list(folder, change.role, change.listed)


@app.command()
def crl(
    dir: Dir = CERTS,
    authority: Annotated[
        str, typer.Option(help=f"{ROOT}, {INTERMEDIATE} …; by default all intermediates whose keys are here.")
    ] = "",
    hours: Annotated[int, typer.Option(min=0, help="Until the next one is due; 0 is as the .cnf says.")] = 0,
    due_within: Annotated[
        int,
        typer.Option(
            min=0, help="Only if the one that is there is due within so many hours, as for a timer."
        ),
    ] = 0,
    passphrase: Passphrase = "",
) -> None:
    """Publish new revocation lists."""
    folder = Folder(dir)
    with said():
        if authority and authority not in folder.roles():
            raise PkiError(f"unknown authority {authority!r}: {' or '.join(folder.roles())}")
        soon = timedelta(hours=min(due_within, HOURS_MAX))
        for role in [authority] if authority else _listing_here(folder):
            if due_within and not folder.crl_is_due(role, soon):
                typer.echo(f"{folder.crl_path(role)}: is not due yet")
            else:
                _publish(folder, role, passphrase, min(hours, HOURS_MAX))


def _listing_here(folder: Folder) -> list[str]:
    """The intermediates whose lists can be made here; the one that issues, to say what is missing, if there is none."""
    roles = folder.intermediates()
    return [role for role in roles if folder.authority(role).key_path.exists()] or roles[-1:]


def _publish(folder: Folder, role: str, source: str, hours: int) -> None:
    secret = authority_passphrase(folder, source, role)
    with files.locked(folder.path):
        made = folder.write_crl(role, secret, hours)
    _say_list(folder, role, made)


def _say_list(folder: Folder, role: str, made: x509.CertificateRevocationList) -> None:
    typer.echo(
        f"{folder.crl_path(role)}: {len(made)} revoked, next due {made.next_update_utc:%Y-%m-%d %H:%M} UTC"
    )


@app.command(name="list")
def list_command(dir: Dir = CERTS) -> None:
    """All certificates of both authorities, and what was imported."""
    with said():
        lines = show.listing(Folder(dir), now())
    table = Table("name", "subject", "status", "expires", "authority", "serial", box=None, pad_edge=False)
    for line in lines:
        expires = "" if line.expires is None else f"{line.expires:%Y-%m-%d}"
        table.add_row(line.name, line.subject, line.status, expires, line.authority, line.serial)
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(table)


@app.command(name="show")
def show_command(
    which: Annotated[str, typer.Argument(help="Name, serial number, root-ca, intermediate-ca, or a file.")],
    dir: Dir = CERTS,
) -> None:
    """What is in a certificate."""
    with said():
        path = Path(which)
        certificate = load_certificate(path) if path.is_file() else issue.find(Folder(dir), which)
    for label, text in show.describe(certificate, now()):
        typer.echo(f"{label:<10} {text}")


@app.command()
def check(
    dir: Dir = CERTS,
    host: Annotated[str, typer.Option(help="A name that server certificates must be good for.")] = "",
    warn_days: Annotated[int, typer.Option(min=0, help="Days left that are a warning.")] = 30,
    critical_days: Annotated[int, typer.Option(min=0, help="Days left that are critical.")] = 7,
    in_days: Annotated[int, typer.Option(min=0, help="Look as if so many days had passed.")] = 0,
) -> None:
    """Expiry, chains, names, weak keys and signatures, revocation lists, file modes: exit code 0, 1 (warning) or 2."""
    with said():
        at = later(now(), timedelta(days=min(in_days, 10_000_000)))
        findings = checking.check(Folder(dir), at, warn_days, critical_days, host)
    for finding in findings:
        typer.echo(f"{checking.LEVELS[finding.level]:<8}  {finding.what}: {finding.text}")
    worst = max([finding.level for finding in findings], default=checking.OK)
    if worst:
        raise typer.Exit(worst)


@app.command()
def export(
    form: Annotated[
        str,
        typer.Argument(
            help=f"One of {', '.join([*exporting.FORMATS, *exporting.OTHER_WORDS])}.", metavar="FORMAT"
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The file to write.")],
    name: Annotated[str, typer.Option(help="The leaf; not needed for a trust store.")] = "",
    dir: Dir = CERTS,
    with_key: Annotated[bool, typer.Option("--with-key", help="PEM: the private key too.")] = False,
    passphrase_source: Annotated[
        str, typer.Option("--passphrase", help=f"Of the file that is written: {HELP}", metavar="SOURCE")
    ] = "",
    key_passphrase: KeyPassphrase = "",
) -> None:
    """Write a certificate as PEM, DER, PKCS#12 or JKS (key included), PKCS#7, or the authorities as a Java trust store."""
    folder = Folder(dir)
    with said():
        form = exporting.format_of(form)
        if out.exists():
            raise PkiError(f"{out} is there: nothing is overwritten")
        key = None
        if form == "truststore" or (form == "jks" and not name):
            roles = [*folder.trusted_roots(), *folder.intermediates()]
            chain, authorities = [], [folder.authority(role).certificate for role in roles]
        elif not name:
            raise PkiError("which one? --name NAME")
        else:
            leaf = folder.leaf(name)
            chain = load_certificates(leaf.chain if leaf.chain.exists() else leaf.certificate)
            authorities = folder.roots_above(chain)
            if form in exporting.SECRET_FORMATS or (form == "pem" and with_key):
                key = keys.load(leaf.key, for_key(key_passphrase, leaf.key, f"the key of {name}"))
        secret = passphrase(passphrase_source, str(out), new=True)
        data = exporting.export(form, name, chain, key, authorities, secret)
        files.write(out, data, files.PUBLIC if key is None else files.PRIVATE)
        typer.echo(f"{out}: {form}, {len(data)} bytes")


@app.command()
def selfsigned(
    name: Name,
    dir: Dir = CERTS,
    profile: Annotated[str, typer.Option(help=f"One of {', '.join(PROFILES)}.")] = "server",
    dns: Dns = [],  # noqa: B006
    ip: Ip = [],  # noqa: B006
    uri: Uri = [],  # noqa: B006
    subject: Subject = "",
    days: Days = 30,
    key_type: KeyType = "p256",
    key_passphrase: KeyPassphrase = "",
) -> None:
    """Make a certificate that nobody vouches for, to try things out.  Without names it is for this machine."""
    folder = Folder(dir)
    with said():
        alternative = names.alternative_names(dns, ip, uri)
        if not alternative:
            alternative = names.alternative_names(["localhost"], ["127.0.0.1", "::1"])
        order = _order(profile, name, alternative, subject, days, key_type, key_passphrase)
        tell(folder.leaf(name).certificate, issue.self_signed(folder, order))


@app.command()
def adopt(
    dir: Dir = CERTS,
    root: Annotated[Path | None, typer.Option(help="The root's .cnf, if it is not found.")] = None,
    intermediate: Annotated[
        Path | None, typer.Option(help="The issuing authority's .cnf, if it is not found.")
    ] = None,
) -> None:
    """Go on with authorities that openssl made in a folder."""
    with said():
        found = Folder(dir).adopt(root, intermediate)
        for role, path in zip((ROOT, INTERMEDIATE), found, strict=True):
            typer.echo(f"{role}: {path}")
