"""index.txt and .cnf: every form that openssl writes, and what is no such thing."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.pki.conf import Conf
from gateway.pki.database import Database, Entry, hexadecimal
from gateway.pki.errors import PkiError

INDEX = (
    "V\t301231235959Z\t\t01\tunknown\t/CN=a\n"
    "R\t301231235959Z\t250101000000Z\t0A\tunknown\t/CN=b\n"
    "R\t20511231235959Z\t250101000000Z,keyCompromise\tABCDEF\tunknown\t/O=x\\C3\\A9/CN=c\n"
    "R\t301231235959Z\t250101000000Z,holdInstruction,holdInstructionReject\t0B\tunknown\t/CN=d\n"
    "E\t200101000000Z\t\t02\tunknown\t/CN=e\n"
)


def _database(tmp_path: Path, text: str) -> Database:
    (tmp_path / "index.txt").write_text(text)
    return Database(tmp_path / "index.txt", tmp_path / "serial", tmp_path / "crlnumber")


def test_lines_of_openssl_are_read_and_written_back(tmp_path: Path) -> None:
    database = _database(tmp_path, INDEX)
    found = database.entries()
    assert [(entry.status, entry.serial, entry.reason) for entry in found] == [
        ("V", 1, ""),
        ("R", 10, ""),
        ("R", 0xABCDEF, "keyCompromise"),
        ("R", 11, "certificateHold"),
        ("E", 2, ""),
    ]
    assert found[2].expires.year == 2051
    added = Entry("V", datetime(2049, 12, 31, tzinfo=UTC), None, "", 0xFFF, "unknown", "/CN=f")
    database.add(added)
    assert (tmp_path / "index.txt.old").read_text() == INDEX
    assert database.entries() == [*found, added]
    lines = (tmp_path / "index.txt").read_text().splitlines()
    assert lines[:3] == INDEX.splitlines()[:3]
    assert lines[-1] == "V\t491231000000Z\t\t0FFF\tunknown\t/CN=f"


@pytest.mark.parametrize(
    "line", ["V", "X\t301231235959Z\t\t01\tu\t/", "V\tnever\t\t01\tu\t/", "V\t301231235959Z\t\tZZ\tu\t/"]
)
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(PkiError, match=r"index.txt:2"):
        _database(tmp_path, f"{INDEX.splitlines()[0]}\n{line}\n").entries()


def test_numbers_are_counted_on_in_hexadecimal(tmp_path: Path) -> None:
    database = _database(tmp_path, "")
    (tmp_path / "serial").write_text("0FF\n")
    assert [database.next_serial(), database.next_serial()] == [0xFF, 0x100]
    assert (tmp_path / "serial").read_text() == "0101\n"
    (tmp_path / "crlnumber").write_text("no number")
    with pytest.raises(PkiError, match="not a hexadecimal number"):
        database.next_crl_number()


@pytest.mark.parametrize(("number", "text"), [(0, "00"), (255, "FF"), (256, "0100")])
def test_hexadecimal_has_an_even_count_of_digits(number: int, text: str) -> None:
    assert hexadecimal(number) == text


# -- .cnf


def _conf(tmp_path: Path, text: str, **environment: str) -> Conf:
    (tmp_path / "x.cnf").write_text(text)
    return Conf(tmp_path / "x.cnf", environment)


def test_variables_comments_and_sections(tmp_path: Path) -> None:
    conf = _conf(
        tmp_path,
        'ca = x # the name\ndir = "."\n[ one ]\nkey = $dir/$ca.crt\nkept = "a # b"\nfar=${two::later}'
        .replace("far=${two::later}", "home = $ENV::HERE/y")
        + "\n[two]\nother = ${one::key}\\\nmore\n",
        HERE="/h",
    )  # fmt: skip
    assert conf.get("one", "key") == "./x.crt"
    assert conf.get("one", "kept") == "a # b"
    assert conf.get("one", "home") == "/h/y"
    assert conf.get("two", "other") == "./x.crtmore"
    assert conf.get("two", "dir") == "."
    assert conf.get("two", "absent", "default") == "default"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a]\nb = $c\n", "x.cnf:2: .c is not known"),
        ("[a]\nnothing\n", "x.cnf:2: neither"),
        (".include other.cnf\n", "x.cnf:1: .include is not followed"),
        ("a = 1\n", "has no b"),
    ],
)
def test_what_cannot_be_understood_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PkiError, match=said):
        _conf(tmp_path, text).get("a", "b")
