"""What a running process does for a folder whose authorities' keys it has: lists and responders before they are due."""

from collections.abc import Callable
from datetime import timedelta
from typing import final

from gateway.pki import files, keys, ocsp
from gateway.pki.authority import Authority, days_long, now
from gateway.pki.errors import PkiError
from gateway.pki.folder import Folder


@final
class Upkeep:
    """Looks what is due in a folder."""

    def __init__(
        self,
        folder: Folder,
        passphrase: Callable[[], bytes | None],
        within: timedelta | None,
        responders: bool,
    ) -> None:
        """`passphrase` is asked for keys that are encrypted; lists are made anew `within` so long of their end (None: they
        are not), and OCSP responders if `responders`."""
        self._folder = folder
        self._passphrase = passphrase
        self._within = within
        self._responders = responders

    def make_due(self) -> tuple[list[str], list[str]]:
        """Make what is due; answers with what was made, and what should have been and could not.  For a thread."""
        made: list[str] = []
        failed: list[str] = []
        try:
            authorities = {role: self._folder.authority(role) for role in self._folder.roles()}
        except PkiError as error:
            return made, [str(error)]
        for role, authority in authorities.items():
            # A key that is kept elsewhere is not missed: whoever has it makes these.
            if not authority.key_path.exists() or authority.certificate.not_valid_after_utc <= now():
                continue
            try:
                made += self._of(role, authority)
            except PkiError as error:
                failed.append(f"{role}: {error}")
        return made, failed

    def _of(self, role: str, authority: Authority) -> list[str]:
        made: list[str] = []
        within = self._within
        # Never more than half of a list's time.
        list_due = within is not None and self._folder.crl_is_due(
            role, min(within, days_long(authority.crl_days) / 2)
        )
        responder_due = self._responders and ocsp.responder_is_due(self._folder, role)
        if not list_due and not responder_due:
            return made
        secret = self._passphrase() if keys.is_encrypted(authority.key_path) else None
        if list_due:
            with files.locked(self._folder.path):
                listed = self._folder.write_crl(role, secret)
            due = listed.next_update_utc
            made.append(
                f"{self._folder.crl_path(role).name}: {len(listed)} revoked, next due {due:%Y-%m-%d %H:%M} UTC"
            )
        if responder_due:
            until = ocsp.make_responder(self._folder, role, secret).not_valid_after_utc
            made.append(f"{role}: OCSP responder until {until:%Y-%m-%d}")
        return made
