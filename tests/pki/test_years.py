"""Twelve years of a folder whose owner does what `check` says, and nothing else; openssl verifies all after each change."""

import importlib
import pkgutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from pki_tools import Openssl

import gateway.pki
from gateway.pki import issue, names, rollover
from gateway.pki.authority import load_certificate
from gateway.pki.check import CRITICAL, WARNING, check
from gateway.pki.folder import Folder, Plan

STEP = timedelta(days=14)
WITHIN = timedelta(days=15)
"""Of the `gateway pki crl --due-within` that cron runs as often."""


@dataclass
class Walk:
    """Time, and what was done when."""

    folder: Folder
    openssl: Openssl
    time: datetime
    done: list[str] = field(default_factory=list)

    def lists(self) -> None:
        """What cron does."""
        for role in self.folder.roles():
            authority = self.folder.authority(role)
            if authority.certificate.not_valid_after_utc > self.time and self.folder.crl_is_due(role, WITHIN):
                self.folder.write_crl(role, None)

    def follow(self) -> None:
        """Do what there is a warning of; nothing is ever critical."""
        for found in check(self.folder, self.time):
            assert found.level != CRITICAL, (self.time, found)
            if found.level != WARNING:
                continue
            if "roll-over" in found.text:
                rollover.begin(self.folder, rollover.NewRoot())
                self.done.append("roll-over begun")
            elif found.what in self.folder.trusted_roots():
                # Of one whose successor is there.
                assert len(self.folder.trusted_roots()) > 1, found
            else:
                issue.renew(self.folder, found.what, 0, None)
                self.done.append(f"{found.what} renewed")

    def finish(self) -> None:
        """End a change of the root when nothing needs the old one."""
        trusted = self.folder.trusted_roots()
        if len(trusted) > 1 and not rollover.only_below(self.folder, trusted[0]):
            rollover.finish(self.folder, None)
            self.done.append("roll-over finished")

    def verify(self) -> None:
        """Each leaf, as a peer does that has the chain and the lists, for each root that is trusted."""
        folder = self.folder
        for root in folder.trusted_roots():
            if folder.authority(root).certificate.not_valid_after_utc <= self.time:
                continue
            lists = [word for role in folder.roles() for word in ("-CRLfile", f"{role}.crl")]
            for leaf in folder.leaves():
                sent = str(leaf.chain.relative_to(folder.path))
                self.openssl(
                    folder.path, "verify", "-x509_strict", "-attime", str(int(self.time.timestamp())),
                    "-crl_check_all", *lists, "-CAfile", f"{root}.crt", "-untrusted", sent, sent,
                )  # fmt: skip

    def overdue(self, until: datetime) -> list[str]:
        """Lists that would be too old before cron comes again."""
        found: list[str] = []
        for role in self.folder.roles():
            due = x509.load_pem_x509_crl(self.folder.crl_path(role).read_bytes()).next_update_utc
            assert due is not None
            if due <= min(until, self.folder.authority(role).certificate.not_valid_after_utc):
                found.append(role)
        return found


@pytest.fixture
def walk(tmp_path: Path, openssl: Openssl, monkeypatch: pytest.MonkeyPatch) -> Walk:
    made = Walk(Folder(tmp_path / "certs"), openssl, datetime.now(UTC))

    def clock() -> datetime:
        return made.time

    for module in pkgutil.iter_modules(gateway.pki.__path__):
        known = importlib.import_module(f"gateway.pki.{module.name}")
        if hasattr(known, "now"):
            monkeypatch.setattr(known, "now", clock)
    return made


def test_who_follows_check_for_years_never_has_anything_that_does_not_work(walk: Walk) -> None:
    folder = walk.folder
    folder.init(Plan())
    here = names.alternative_names(["localhost"], ["127.0.0.1"])
    issue.issue(folder, issue.Order("server", "broker", alternative=here), None)
    issue.issue(folder, issue.Order("client", "device"), None)
    end = walk.time + timedelta(days=12 * 365)
    before: list[str] = []
    while walk.time < end:
        walk.lists()
        assert walk.overdue(walk.time + STEP) == []
        walk.follow()
        walk.finish()
        if walk.done != before:
            walk.verify()
            before = list(walk.done)
        walk.time += STEP
    assert walk.done.count("roll-over begun") == walk.done.count("roll-over finished") == 1
    assert walk.done.count("broker renewed") == walk.done.count("device renewed") >= 10
    assert "intermediate-ca renewed" in walk.done
    assert load_certificate(folder.leaf("device").certificate).not_valid_after_utc > walk.time
    assert folder.trusted_roots() == ["root-ca-2"]
