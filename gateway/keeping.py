"""Puts a PKI folder behind a running gateway: what is due in it is made anew, and what it tells everybody is served."""

import asyncio
import logging
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final, final

from gateway.admin.revocations import RevocationServer
from gateway.config import PkiSection
from gateway.pki import files
from gateway.pki.folder import Folder
from gateway.pki.ocsp import Responder
from gateway.pki.upkeep import Upkeep

log = logging.getLogger("gateway.pki")

LOOK_S: Final = 60
"""How often it is looked whether something is due."""


def passphrase_of(source: str) -> Callable[[], bytes | None]:
    """Reads a passphrase from `file:PATH` or `env:NAME` each time; None where there is none.  Raises PkiError then."""
    kind, _, rest = source.partition(":")

    def read() -> bytes | None:
        if kind == "env":
            found = os.environ.get(rest, "")
        else:
            found = files.read_text(Path(rest)).split("\n", 1)[0].rstrip("\r")
        return found.encode() or None

    return read if kind else lambda: None


@final
class Keeping:
    """The folder of [pki]."""

    def __init__(self, section: PkiSection) -> None:
        folder = Folder(section.dir)
        self._upkeep: Upkeep | None = None
        if section.renew_lists or section.ocsp:
            self._upkeep = Upkeep(
                folder,
                passphrase_of(section.passphrase),
                timedelta(hours=section.renew_within_h) if section.renew_lists else None,
                section.ocsp,
            )
        self.server: RevocationServer | None = None
        """With its real port, once started."""
        if section.uri:
            responder = Responder(folder, timedelta(seconds=section.ocsp_valid_s)) if section.ocsp else None
            self.server = RevocationServer(section.host, section.port, folder, responder)
        self._next_look_s = 0
        self._working: asyncio.Future[None] | None = None
        self._said: list[str] = []

    async def start(self) -> None:
        """Make what is due, and listen.  Raises OSError."""
        if self._upkeep is not None:
            await asyncio.to_thread(self._look, self._upkeep)
        if self.server is not None:
            await self.server.open()
            log.info("revocation lists are served on http://%s:%d/", self.server.host, self.server.port)

    async def close(self) -> None:
        """Stop serving; what is being written is written first."""
        if self.server is not None:
            await self.server.close()
        if self._working is not None:
            await asyncio.wait([self._working])

    def tick(self, now_s: int) -> None:
        """Look whether something is due, once a minute."""
        upkeep = self._upkeep
        if upkeep is None or now_s < self._next_look_s or self._working is not None:
            return
        self._next_look_s = now_s + LOOK_S
        loop = asyncio.get_running_loop()
        self._working = loop.run_in_executor(None, self._look, upkeep)
        self._working.add_done_callback(self._looked)

    def _looked(self, _: asyncio.Future[None]) -> None:
        self._working = None

    def _look(self, upkeep: Upkeep) -> None:
        """In a thread."""
        try:
            made, failed = upkeep.make_due()
        except Exception:
            log.exception("internal error in the PKI folder")
            return
        for text in made:
            log.info("made anew: %s", text)
        for text in failed:
            if text not in self._said:
                log.warning("could not be made anew: %s", text)
        self._said = failed
