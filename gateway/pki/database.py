"""What an authority has issued and revoked: openssl's index.txt, serial and crlnumber."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, final

from cryptography import x509

from gateway.pki import files
from gateway.pki.errors import PkiError

VALID: Final = "V"
REVOKED: Final = "R"
EXPIRED: Final = "E"

REASONS: Final = {
    "unspecified": x509.ReasonFlags.unspecified,
    "keyCompromise": x509.ReasonFlags.key_compromise,
    "CACompromise": x509.ReasonFlags.ca_compromise,
    "affiliationChanged": x509.ReasonFlags.affiliation_changed,
    "superseded": x509.ReasonFlags.superseded,
    "cessationOfOperation": x509.ReasonFlags.cessation_of_operation,
    "certificateHold": x509.ReasonFlags.certificate_hold,
}
"""Reasons of a revocation as openssl spells them (RFC 5280 §5.3.1)."""

HOLD: Final = "certificateHold"
"""The one reason that can be lifted (RFC 5280 §5.3.1)."""

# What openssl writes when it is told more than a reason.
_OTHER_REASONS: Final = {
    "keyTime": "keyCompromise",
    "CAkeyTime": "CACompromise",
    "holdInstruction": "certificateHold",
}


@final
@dataclass(slots=True)
class Entry:
    """A line of index.txt."""

    status: str
    """VALID, REVOKED or EXPIRED; openssl marks expired ones only when told to."""
    expires: datetime
    revoked: datetime | None
    reason: str
    """A key of REASONS; empty for none."""
    serial: int
    file: str
    """`unknown`, or a name that openssl was told."""
    subject: str
    """`/O=Example/CN=x`"""


def hexadecimal(number: int) -> str:
    """A number as openssl writes it: capitals, an even count of digits."""
    text = f"{number:X}"
    return text if len(text) % 2 == 0 else "0" + text


def _time(text: str) -> datetime:
    """A UTCTime or GeneralizedTime (RFC 5280 §4.1.2.5).  Raises ValueError.

    By hand: strptime takes ten times as long, and there are thousands.
    """
    digits = text[:-1]
    if len(text) not in (13, 15) or text[-1] != "Z" or not (digits.isascii() and digits.isdigit()):
        raise ValueError(text)
    if len(text) == 13:
        digits = ("19" if digits >= "50" else "20") + digits
    month, day, hour, minute, second = [int(digits[at : at + 2]) for at in range(4, 14, 2)]
    return datetime(int(digits[:4]), month, day, hour, minute, second, tzinfo=UTC)


def _time_text(time: datetime) -> str:
    return time.strftime("%y%m%d%H%M%SZ" if time.year < 2050 else "%Y%m%d%H%M%SZ")


def _parse(line: str) -> Entry:
    status, expires, revocation, serial, file, subject = line.split("\t")
    if status not in (VALID, REVOKED, EXPIRED):
        raise ValueError(status)
    revoked, _, reason = revocation.partition(",")
    reason = reason.split(",")[0]
    return Entry(
        status,
        _time(expires),
        _time(revoked) if revoked else None,
        _OTHER_REASONS.get(reason, reason),
        int(serial, 16),
        file,
        subject,
    )


def _text(entry: Entry) -> str:
    revocation = "" if entry.revoked is None else _time_text(entry.revoked)
    if revocation and entry.reason:
        revocation += f",{entry.reason}"
    return "\t".join(
        (
            entry.status,
            _time_text(entry.expires),
            revocation,
            hexadecimal(entry.serial),
            entry.file,
            entry.subject,
        )
    )


def check_reason(reason: str) -> None:
    """Raise PkiError for what is no reason."""
    if reason not in REASONS:
        raise PkiError(f"unknown reason {reason!r}: one of {', '.join(REASONS)}")


def _one(entries: list[Entry], serial: int) -> Entry:
    for entry in entries:
        if entry.serial == serial:
            return entry
    raise PkiError(f"{hexadecimal(serial)} was not issued by this authority")


@final
class Database:
    """The three files of one authority.  Whoever changes them holds the folder's lock."""

    def __init__(self, index: Path, serial: Path, crl_number: Path) -> None:
        self.index = index
        self.serial = serial
        self.crl_number = crl_number

    def create(self, first_serial: int) -> None:
        """Write empty ones."""
        files.write(self.index, b"")
        files.write(self.index.with_name(self.index.name + ".attr"), b"unique_subject = no\n")
        files.write(self.serial, f"{hexadecimal(first_serial)}\n".encode())
        files.write(self.crl_number, b"01\n")

    def entries(self) -> list[Entry]:
        """All lines, oldest first.  Raises PkiError naming the line that is none."""
        found: list[Entry] = []
        for number, line in enumerate(files.read_text(self.index).splitlines(), 1):
            if not line or line.startswith("#"):
                continue
            try:
                found.append(_parse(line))
            except ValueError:
                raise PkiError(f"{self.index}:{number}: not a line of openssl's index") from None
        return found

    def find(self, serial: int) -> Entry | None:
        """The line of a serial number."""
        return next((entry for entry in self.entries() if entry.serial == serial), None)

    def add(self, entry: Entry) -> None:
        """Append a line, to others that can be read.  Raises PkiError."""
        self._write([*self.entries(), entry])

    def revoke(self, serial: int, reason: str, now: datetime) -> Entry:
        """Mark a certificate as revoked.  Raises PkiError if it is unknown or was revoked before.

        One on hold may be revoked for good; the date stays that of the hold.
        """
        check_reason(reason)
        entries = self.entries()
        entry = _one(entries, serial)
        if entry.status == REVOKED and (entry.reason != HOLD or reason == HOLD):
            raise PkiError(f"{hexadecimal(serial)} is revoked already")
        if entry.status != REVOKED:
            entry.revoked = now
        entry.status = REVOKED
        entry.reason = reason
        self._write(entries)
        return entry

    def release(self, serial: int) -> Entry:
        """Lift a hold.  Raises PkiError where there is none."""
        entries = self.entries()
        entry = _one(entries, serial)
        if entry.status != REVOKED or entry.reason != HOLD:
            raise PkiError(f"{hexadecimal(serial)} is not on hold")
        entry.status = VALID
        entry.revoked = None
        entry.reason = ""
        self._write(entries)
        return entry

    def _write(self, entries: list[Entry]) -> None:
        if self.index.exists():
            # openssl keeps the last state in the same way.
            files.write(self.index.with_name(self.index.name + ".old"), files.read(self.index))
        files.write(self.index, "".join([f"{_text(entry)}\n" for entry in entries]).encode())

    def next_serial(self) -> int:
        """Take a serial number; it is spent even if nothing comes of it."""
        return self._take(self.serial)

    def next_crl_number(self) -> int:
        """Take a number for a revocation list."""
        return self._take(self.crl_number)

    def _take(self, path: Path) -> int:
        text = files.read_text(path).strip()
        try:
            number = int(text, 16)
            if number < 0:
                raise ValueError
        except ValueError:
            raise PkiError(f"{path}: not a hexadecimal number") from None
        files.write(path, f"{hexadecimal(number + 1)}\n".encode())
        return number
