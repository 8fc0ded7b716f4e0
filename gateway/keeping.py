"""Puts a PKI folder behind a running gateway: what is due in it is made anew, and what it tells everybody is served."""

import asyncio
import logging
import os
from collections.abc import Callable
from datetime import timedelta
from functools import partial
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


def _upkeep(section: PkiSection) -> Upkeep | None:
    """What is to be made anew; None where that is nothing."""
    if not section.renew_lists and not section.ocsp:
        return None
    return Upkeep(
        Folder(section.dir),
        passphrase_of(section.passphrase),
        timedelta(hours=section.renew_within_h) if section.renew_lists else None,
        section.ocsp,
    )


def _served(section: PkiSection) -> tuple[Folder, Responder | None]:
    """What is served of which folder."""
    folder = Folder(section.dir)
    return folder, Responder(folder, timedelta(seconds=section.ocsp_valid_s)) if section.ocsp else None


def _server(section: PkiSection) -> RevocationServer | None:
    """Who serves it, once opened; None where nobody does."""
    return RevocationServer(section.host, section.port, *_served(section)) if section.uri else None


def _say_where(server: RevocationServer) -> None:
    log.info("revocation lists are served on http://%s:%d/", server.host, server.port)


@final
class Keeping:
    """The folder of [pki]."""

    def __init__(self, section: PkiSection) -> None:
        self._section = section
        self._upkeep = _upkeep(section)
        self.server = _server(section)
        """With its real port, once started."""
        self._closing: set[asyncio.Task[None]] = set()
        self._next_look_s = 0
        self._working: asyncio.Future[None] | None = None
        self._said: list[str] = []

    async def start(self) -> None:
        """Make what is due, and listen.  Raises OSError."""
        if self._upkeep is not None:
            await asyncio.to_thread(self._look, self._upkeep)
        if self.server is not None:
            await self.server.open()
            _say_where(self.server)

    async def prepare(self, section: PkiSection) -> Callable[[], None]:
        """Open what another [pki] wants open: what is to be called to have it used.  Raises OSError."""
        server = self.server
        if section.uri != self._section.uri:
            server = _server(section)
            if server is not None:
                await server.open()
        return partial(self._use, section, server)

    def _use(self, section: PkiSection, server: RevocationServer | None) -> None:
        """What is due is looked for within a second."""
        self._section = section
        self._upkeep = _upkeep(section)
        self._next_look_s = 0
        self._said = []
        before, self.server = self.server, server
        if server is before:
            if server is not None:
                server.serve(*_served(section))
            return
        if server is not None:
            _say_where(server)
        if before is not None:
            closing = asyncio.get_running_loop().create_task(before.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Stop serving; what is being written is written first."""
        if self.server is not None:
            await self.server.close()
        await asyncio.gather(*self._closing)
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
