"""Keeps a listener's TLS files loaded: looks for changes, exchanges them whole, and warns before they expire."""

import asyncio
import errno
import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, final

from cryptography import x509

from gateway.net import tls
from gateway.net.tls import Identity, TlsError, TlsSettings

log = logging.getLogger("gateway.net")

WARN_DAYS: Final = (1, 7, 30)
"""Days left at which a certificate's end is announced, each once."""

Signature = tuple[tuple[int, int, int], ...]


def _signature(paths: list[Path]) -> Signature:
    """What tells whether a file is another than before."""
    found: list[tuple[int, int, int]] = []
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            found.append((0, 0, 0))
        else:
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(found)


@final
class Keeper:
    """One listener's TLS."""

    def __init__(self, name: str, settings: TlsSettings, loop: asyncio.AbstractEventLoop) -> None:
        self.name = name
        self.settings = settings
        self._loop = loop
        self.identity: Identity | None = None
        """None until `load`."""
        self.on_change: Callable[[Identity], None] | None = None
        """Called with each new identity after the first."""
        self.handshakes = 0
        self.handshakes_failed = 0
        self.handshakes_timed_out = 0
        self.handshakes_pushed_out = 0
        """Ended to make room for newer ones."""
        self.reloads = 0
        self.reload_problem = ""
        """Why the files as they are now are not in use; empty when they are."""
        self._loaded: Signature = ()
        self._pending: Signature = ()
        self._next_look_s = 0
        self._working: asyncio.Task[None] | None = None
        self.next_expiry = tls.FOREVER
        """No certificate of a connected client ends before; kept only if their sessions are to end with it."""
        self._warned: dict[int, int] = {}
        self._warned_crl = ""

    @property
    def context(self) -> ssl.SSLContext:
        """For the next connection."""
        assert self.identity is not None
        return self.identity.context

    async def load(self) -> None:
        """Read the files for the first time.  Raises TlsError."""
        self._loaded = self._pending = _signature(self.settings.files())
        self.identity = await self._loop.run_in_executor(None, tls.load, self.settings)
        self._warn_unfit(self.identity)
        self.warn(datetime.now(UTC))

    def expires(self, when: datetime) -> None:
        """A client has come whose certificate ends then."""
        if self.settings.expired_sessions == "end" and when < self.next_expiry:
            self.next_expiry = when

    def tick(self, now_s: int) -> None:
        """Look whether something has changed, at most as often as the settings say."""
        if self.settings.reload_s == 0 or now_s < self._next_look_s:
            return
        self._next_look_s = now_s + self.settings.reload_s
        self.warn(datetime.now(UTC))
        seen = _signature(self.settings.files())
        if seen != self._loaded and seen == self._pending:
            self.reload()
        # A key follows its certificate a moment later: what still changes is left alone until the next look.
        self._pending = seen

    async def read(self) -> Callable[[], None]:
        """Read the files again, now: what is to be called to have them used.  Raises TlsError, and remembers why."""
        seen = _signature(self.settings.files())
        try:
            identity = await self._loop.run_in_executor(None, tls.load, self.settings)
        except TlsError as error:
            self.reload_problem = str(error)
            raise
        return partial(self._use, identity, seen)

    def _use(self, identity: Identity, seen: Signature) -> None:
        self._loaded = seen
        self._exchange(identity)

    def reload(self) -> None:
        """Read the files again, now, in a thread; if that fails, what was loaded stays in use."""
        if self._working is None:
            self._working = self._loop.create_task(self._reload())

    async def _reload(self) -> None:
        seen = _signature(self.settings.files())
        again = False
        try:
            identity = await self._loop.run_in_executor(None, tls.load, self.settings)
        except TlsError as error:
            # The files are not to blame where none could be opened: they are read at the next look.
            again = getattr(error.__context__, "errno", 0) in (errno.EMFILE, errno.ENFILE)
            self.reload_problem = str(error)
            log.warning("%s: the old certificates stay in use: %s", self.name, error)
        except Exception:
            self.reload_problem = "internal error"
            log.exception("%s: the old certificates stay in use: internal error", self.name)
        else:
            self._exchange(identity)
        finally:
            if not again:
                self._loaded = seen
            self._working = None

    def _exchange(self, identity: Identity) -> None:
        self.identity = identity
        self.reloads += 1
        self.reload_problem = ""
        self._warned.clear()
        self._warned_crl = ""
        days = tls.days_left(identity.certificates[0])
        log.info(
            "%s: certificates reloaded: %d days left, %d revoked", self.name, days, len(identity.revoked)
        )
        self._warn_unfit(identity)
        self.warn(datetime.now(UTC))
        if self.on_change is not None:
            self.on_change(identity)

    # -- warnings

    def _warn_unfit(self, identity: Identity) -> None:
        for text in identity.unfit:
            log.warning("%s: %s", self.name, text)

    def warn(self, now: datetime) -> None:
        """Say in the log what has come near its end since it was last said."""
        identity = self.identity
        if identity is None:
            return
        for number, certificate in enumerate(identity.certificates):
            threshold = _threshold(certificate, now)
            if threshold < self._warned.get(number, 1_000):
                self._warned[number] = threshold
                log.warning("%s: %s", self.name, _expiry(certificate, now))
        said = _lists(identity, now)
        if said and said != self._warned_crl:
            log.warning("%s: %s", self.name, said)
        self._warned_crl = said

    def warnings(self, now: datetime) -> list[str]:
        """What there is to worry about, for the status."""
        identity = self.identity
        if identity is None:
            return []
        found = [_expiry(item, now) for item in identity.certificates if _threshold(item, now) < 1_000]
        found += identity.unfit
        lists = _lists(identity, now)
        if lists:
            found.append(lists)
        if self.reload_problem:
            found.append(f"the old certificates stay in use: {self.reload_problem}")
        return found

    def status(self) -> dict[str, Any]:
        """For the status, as JSON's types."""
        identity = self.identity
        now = datetime.now(UTC)
        certificates = [] if identity is None else identity.certificates
        due = None if identity is None else identity.next_crl
        return {
            "certificates": [
                {
                    "subject": certificate.subject.rfc4514_string(),
                    "names": tls.host_names(certificate),
                    "not_after": certificate.not_valid_after_utc.isoformat(),
                    "days_left": tls.days_left(certificate, now),
                }
                for certificate in certificates
            ],
            "client_certificates": self.settings.client_certificates,
            "revoked": 0 if identity is None else len(identity.revoked),
            "next_crl": None if due is None else due.isoformat(),
            "handshakes": self.handshakes,
            "handshakes_failed": self.handshakes_failed,
            "handshakes_timed_out": self.handshakes_timed_out,
            "handshakes_pushed_out": self.handshakes_pushed_out,
            "reloads": self.reloads,
            "warnings": self.warnings(now),
        }


def _lists(identity: Identity, now: datetime) -> str:
    """What there is to say of revocation lists; empty when all is well."""
    due, early = identity.next_crl, identity.warn_crl
    if due is not None and due <= now:
        return "a revocation list is overdue: client certificates are refused"
    if due is not None and early is not None and early <= now:
        return f"a revocation list is due on {due:%Y-%m-%d %H:%M} UTC: then client certificates are refused"
    return ""


def _threshold(certificate: x509.Certificate, now: datetime) -> int:
    """The least of WARN_DAYS that is more than what is left; -1 when it has expired, 1000 when all is well."""
    left = tls.days_left(certificate, now)
    if left < 0:
        return -1
    return next((days for days in WARN_DAYS if left < days), 1_000)


def _expiry(certificate: x509.Certificate, now: datetime) -> str:
    left = tls.days_left(certificate, now)
    name = certificate.subject.rfc4514_string()
    if left < 0:
        return f"the certificate {name} has expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    return f"the certificate {name} expires in {left} days, on {certificate.not_valid_after_utc:%Y-%m-%d}"
