"""`gateway pki` and `gateway tls` with values that nobody means: each answer is a sentence, never a traceback."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner, Result

from gateway.cli import pki, tls
from gateway.pki.folder import Folder

WORDS = [
    "",
    "@",
    "CN=\u00fc,C=\u00fc",
    r"CN=a\00b",
    "http://[",
    "a\x00b",
    "x\udc80",
    "\u00fc" * 300,
    "9" * 5_000,
    "x:\u00b2",
    "env:a\x00b",
]
NUMBERS = ["-1", "0", "999999999", "9" * 20]

runner = CliRunner()


def said(app: typer.Typer, *arguments: str) -> Result:
    """Run a command; nothing but an exit code may come out of it, and on failure a sentence."""
    done = runner.invoke(app, list(arguments))
    assert done.exception is None or isinstance(done.exception, SystemExit), (arguments, done.exception)
    assert done.exit_code in (0, 1, 2), arguments
    assert done.exit_code == 0 or done.output.strip(), arguments
    return done


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("odd") / "certs"
    assert (
        said(pki.app, "init", "--dir", str(path), "--server", "broker", "--client", "device").exit_code == 0
    )
    assert said(pki.app, "csr", "client", "--name", "asked", "--dir", str(path)).exit_code == 0
    return path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names without a directory are made in the test's own; nothing here is to survive a power cut."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gateway.pki.files.os.fsync", lambda handle: None)


@pytest.fixture
def certs(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "certs")
    return tmp_path / "certs"


def usual(command: str, certs: Path) -> list[str]:
    """Arguments with which a command has something to do."""
    issued = certs / "issued"
    return {
        "init": ["--dir", str(certs / "new")],
        "issue": ["client", "--name", "n"],
        "csr": ["client", "--name", "n"],
        "sign": ["client", str(issued / "asked.csr"), "--name", "n"],
        "import": [str(issued / "device-chain.crt"), "--name", "n", "--ca", str(certs / "root-ca.crt"),
                   "--key", str(issued / "device.key")],
        "export": ["pem", str(certs / "out"), "--name", "device"],
        "selfsigned": ["--name", "n"],
        "renew": ["device"],
        "revoke": ["device"],
        "release": ["device"],
        "show": ["device"],
        "check": [],
    }.get(command, [])  # fmt: skip


def parameters() -> Iterator[tuple[str, str, bool]]:
    """(command, option or position, number?)"""
    for name, command in typer.main.get_command(pki.app).commands.items():  # type: ignore[attr-defined]
        for parameter in command.params:
            if not getattr(parameter, "is_flag", False) and parameter.name != "help":
                yield name, parameter.opts[0], parameter.opts[0].endswith(("days", "hours"))


@pytest.mark.parametrize(("command", "option", "number"), list(parameters()))
def test_every_value_gets_a_sentence(certs: Path, command: str, option: str, number: bool) -> None:
    for value in NUMBERS if number else WORDS:
        arguments = usual(command, certs)
        if not option.startswith("--"):
            # A position: the last one that the command has is exchanged.
            arguments = [value, *arguments[1:]] if arguments else [value]
        elif option in arguments:
            arguments[arguments.index(option) + 1] = value
        else:
            arguments = [*arguments, option, value]
        if "--dir" not in arguments:
            arguments += ["--dir", str(certs)]
        said(pki.app, command, *arguments)
        for path in (certs / "issued").glob("n*"):
            path.unlink()


@pytest.mark.parametrize("option", ["", "--ca", "--server-name", "--cert", "--key", "--alpn", "--warn-days"])
def test_tls_check_too(option: str) -> None:
    for value in NUMBERS if option == "--warn-days" else WORDS:
        said(tls.app, "check", *(["127.0.0.1:1", option, value] if option else [value]))


def _with_latin_1(data: bytes, was: bytes) -> bytes:
    """The UTF8String `was` as a TeletexString with a Latin-1 letter, as old tools wrote names."""
    at = data.index(bytes([0x0C, len(was)]) + was)
    return data[:at] + bytes([0x14]) + data[at + 1 : at + 2] + b"\xfc" + data[at + 3 :]


def test_a_request_with_a_name_in_latin_1(certs: Path) -> None:
    path = certs / "issued" / "asked.csr"
    request = x509.load_pem_x509_csr(path.read_bytes())
    path.write_bytes(_with_latin_1(request.public_bytes(Encoding.DER), b"asked"))
    for more in ([], ["--as-requested"]):
        done = said(pki.app, "sign", "client", str(path), "--name", "n", "--dir", str(certs), *more)
        assert done.exit_code == 1
        assert "asked.csr" in done.output


@pytest.mark.parametrize("damage", ["latin-1", "cut", "empty", "key", "directory"])
@pytest.mark.parametrize("command", ["list", "check", "show", "renew", "revoke", "export"])
def test_a_leaf_that_cannot_be_read(certs: Path, damage: str, command: str) -> None:
    leaf = Folder(certs).leaf("device")
    for path in (leaf.certificate, leaf.chain):
        data = path.read_bytes()
        path.unlink()
        if damage == "directory":
            path.mkdir()
            continue
        path.write_bytes(
            {
                "latin-1": _with_latin_1(x509.load_pem_x509_certificate(data).public_bytes(Encoding.DER), b"device"),
                "cut": data[:-200],
                "empty": b"",
                "key": leaf.key.read_bytes(),
            }[damage]
        )  # fmt: skip
    done = said(pki.app, command, *usual(command, certs), "--dir", str(certs))
    if command in ("list", "check"):
        assert "broker" in done.output
        assert "device" in done.output


@pytest.mark.parametrize(
    "name",
    [
        "index.txt",
        "serial",
        "crlnumber",
        "intermediate-ca.cnf",
        "private/intermediate-ca.key",
        "../intermediate-ca.crt",
        "../intermediate-ca.crl",
    ],
)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"V\t1\t\t1\n", b"-5\n", None])
def test_an_authority_whose_file_is_damaged(certs: Path, name: str, content: bytes | None) -> None:
    path = certs / "intermediate-ca" / name
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    for command in ("list", "check", "crl", "show", "issue", "renew", "revoke", "export"):
        said(pki.app, command, *usual(command, certs), "--dir", str(certs))
