"""Every command with random arguments, files, environment and input: a sentence and an exit code, never a traceback.

CLI_CALLS sets how many calls there are, CLI_SEED which.
"""

import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli import run as running
from gateway.cli.main import app

CALLS = int(os.environ.get("CLI_CALLS", "150"))
SEED = int(os.environ.get("CLI_SEED", "1"))
CALL_S = 20

NUMBERS = (
    "0",
    "1",
    "-1",
    "365",
    "99999999999",
    "9" * 30,
    "9" * 5000,
    "1e3",
    "",
    "x",
    "²",
    "1_000",
    "2147483648",
)
TEXTS = (
    *(
        "",
        "@",
        "a",
        "\n",
        "a\nb",
        "\0",
        "\udcff",
        "ß",
        "😀",
        "a" * 70,
        "a" * 100_000,
        "../x",
        "/abs",
        ".",
        "..",
        "-",
    ),
    *(
        "--",
        "*.example.com",
        "CN=x",
        "CN=",
        "=x",
        "CN=a+O=b",
        "1.2.3.4=x",
        "C=Germany",
        "%s",
        "\x1b[31m",
        "00",
        "FF" * 20,
    ),
    *(
        "127.0.0.1",
        "::1",
        "256.1.1.1",
        "fe80::1%eth0",
        "10.0.0.0/8",
        "mailto:a",
        "a@b",
        "xn--a",
        "a..b",
        "localhost",
    ),
    *(
        "127.0.0.1:1",
        "[::1",
        ":1",
        "127.0.0.1:99999",
        "http://127.0.0.1:1",
        "http://u:p@127.0.0.1:1",
        "ftp://x",
        "http://[",
    ),
    *(
        "ask",
        "file:",
        "file:x",
        "file:\0",
        "file:h/binary",
        "file:h",
        "env:",
        "env:NOPE",
        "env:GOOD",
        "env:ODD",
        "env:A=B",
    ),
    *(
        "server",
        "client",
        "p256",
        "rsa",
        "keyCompromise",
        "certificateHold",
        "pem",
        "p12",
        "jks",
        "truststore",
        "install",
    ),
    *("broker", "device-17", "root-ca", "intermediate-ca", "root-ca-2"),
)
PATHS = (
    *(
        "h/empty",
        "h/binary",
        "h/latin1.toml",
        "h/huge",
        "h/loop",
        "h/nul",
        "h/closed",
        "h/sqlite",
        "h/deep.toml",
        "h/pem",
    ),
    *(
        "h/good.toml",
        "h/good.toml/x",
        "h",
        "w",
        "w/certs/root-ca.crt",
        "w/certs/issued/broker.key",
        "no/such",
        "",
        "/dev/null",
    ),
    *("/dev/full", "a" * 300, "a" * 5000, ".", "-", "nul\0byte", "\udcff", "ä\n"),
)
VARIABLES = (
    "STORE__PATH",
    "ADMIN__URI",
    "CORE__MEMORY_MAX",
    "LOG__LEVEL",
    "LOG__FORMAT",
    "NOPE__X",
    "USER__0",
    "STORE__",
)
INPUTS = ("", "passphrase\npassphrase\n", b"\xff\xfe\n", "\0\n", "a" * 100_000 + "\n")
ODD = re.compile(r"Traceback|\[Errno|None: |<class|object at 0x|Error\(|codec can't")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with files that nobody expects (`h`) and a PKI (`w/certs`); a hang ends with an exception."""

    async def nothing(*_: Any, **__: Any) -> int:
        return 0

    def hangs(*_: Any) -> None:
        raise AssertionError("it hangs")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(running, "run_gateway", nothing)
    monkeypatch.setattr(running, "raise_file_limit", lambda: None)
    before = signal.signal(signal.SIGALRM, hangs)
    odd = Path("h")
    odd.mkdir()
    for name, data in {
        "empty": b"",
        "binary": Random(1).randbytes(5000),
        "latin1.toml": '[gateway]\nname = "größe"\n'.encode("latin-1"),
        "nul": bytes(100),
        "closed": b"x",
        "sqlite": b"SQLite format 3\0" + bytes(5000),
        "deep.toml": b"a = " + b"[" * 5000,
        "pem": b"-----BEGIN CERTIFICATE-----\n\xff\xfe\n-----END CERTIFICATE-----\n",
        "good.toml": b'[store]\npath = "st.db"\nreserve_bytes = 0\n[admin]\nuri = "http://127.0.0.1:1"\n',
    }.items():
        (odd / name).write_bytes(data)
    with (odd / "huge").open("wb") as file:
        file.truncate(1 << 30)
    (odd / "loop").symlink_to("loop")
    (odd / "closed").chmod(0)
    assert CliRunner().invoke(app, PKI).exit_code == 0
    yield tmp_path
    signal.signal(signal.SIGALRM, before)


PKI = ("pki", "init", "--dir", "w/certs", "--server", "broker", "--client", "device-17")


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words it is called by."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def value(random: Random, parameter: Any) -> str:
    """What one argument or option is given: of its kind for the most part."""
    wanted = str(parameter.type_descriptor)
    if "Path" in wanted:
        if parameter.name == "dir" and random.random() < 0.6:
            return "w/certs"
        fitting: tuple[str, ...] = PATHS
    else:
        fitting = NUMBERS if "'int'" in wanted else TEXTS
    return random.choice(fitting if random.random() < 0.95 else TEXTS + PATHS + NUMBERS)


def arguments(random: Random, path: tuple[str, ...], command: Any) -> list[str]:
    """One call."""
    given = list(path)
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            if parameter.required or random.random() < 0.6:
                given.append(value(random, parameter))
        elif parameter.name != "help" and (parameter.required or random.random() < 0.2):
            given.append(random.choice([*parameter.opts, *parameter.secondary_opts]))
            if not parameter.is_flag:
                given.append(value(random, parameter))
    return given


def test_every_command_says_what_is_wrong_with_anything(world: Path) -> None:
    random = Random(SEED)
    known = list(commands(typer.main.get_command(app)))
    kept = world / "kept"
    shutil.copytree("w", kept)
    for number in range(CALLS):
        # Each command has its turn, and finds the PKI as it was made.
        shutil.rmtree("w")
        shutil.copytree(kept, "w")
        given = arguments(random, *known[number % len(known)])
        environment = {"GOOD": "passphrase", "ODD": "\udcff1234"}
        if random.random() < 0.2:
            environment[f"GATEWAY_{random.choice(VARIABLES)}"] = random.choice(
                ["", "x", "-1", "json", "\udcff", "9" * 30]
            )
        said = random.choice(INPUTS)
        signal.alarm(CALL_S)
        done = CliRunner().invoke(app, given, input=said, env=environment, catch_exceptions=False)
        signal.alarm(0)
        call = f"{[word[:80] for word in given]}, {environment}: {done.output[:500]}"
        assert done.exit_code in (0, 1, 2), call
        assert done.exit_code == 0 or done.output.strip(), call
        assert not ODD.search(done.output), call


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"\xff\n", "the password is not UTF-8, as clients send it"),
        (b"\n", "the password is empty"),
        (b"a" * 4097, "the password has 4097 bytes: 1 to 4096 are taken"),
    ],
)
def test_a_password_that_no_client_could_send_is_not_hashed(said: bytes, why: str) -> None:
    done = CliRunner().invoke(app, ["user", "hash"], input=said, catch_exceptions=False)
    assert (done.exit_code, done.output) == (1, why + "\n")


def test_a_passphrase_in_another_encoding_is_a_sentence(tmp_path: Path) -> None:
    call = ["pki", "init", "--dir", str(tmp_path / "certs"), "--passphrase"]
    for source, typed in (("ask", b"gr\xfc\xdfe\n"), ("env:ODD", b"")):
        done = CliRunner().invoke(
            app, [*call, source], input=typed, env={"ODD": "gr\udcfce"}, catch_exceptions=False
        )
        assert done.exit_code == 1
        assert "the passphrase of the authorities is not UTF-8\n" in done.output


def test_nobody_at_an_address_is_said_without_numbers_of_errors() -> None:
    done = CliRunner().invoke(app, ["status", "--url", "http://127.0.0.1:1"], catch_exceptions=False)
    assert (done.exit_code, done.output) == (
        1,
        "no gateway answers at http://127.0.0.1:1: Connection refused\n",
    )
