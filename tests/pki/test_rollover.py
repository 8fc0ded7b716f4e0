"""Another root: devices with the old and with the new one work at the same time, then the old one is out of use."""

import socket
import ssl
import subprocess
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from pki_tools import TIMEOUT_S, Openssl, needs
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.pki import chain, check, names, rollover, show
from gateway.pki.authority import load_certificate, load_certificates, now
from gateway.pki.check import CRITICAL, OK, WARNING
from gateway.pki.errors import PkiError
from gateway.pki.folder import Folder, Plan
from gateway.pki.issue import Order, issue, renew
from gateway.pki.revoking import revoke

ROOTS = ("root-ca", "root-ca-2")
LEAVES = ("broker", "device-17", "new")


@pytest.fixture
def rolling(issued: Folder) -> Folder:
    """`broker` and `device-17` are below the old root, `new` and the server `broker-2` below the new one."""
    begun = rollover.begin(issued, rollover.NewRoot())
    assert (begun.old, begun.new, begun.intermediate) == ("root-ca", "root-ca-2", "intermediate-ca-2")
    issue(issued, Order("client", "new"), None)
    here = names.alternative_names(["localhost"], ["127.0.0.1"])
    issue(issued, Order("server", "broker-2", alternative=here), None)
    return issued


def _verify(openssl: Openssl, folder: Folder, root: str, name: str, *more: str, code: int = 0) -> str:
    sent = f"issued/{name}-chain.crt"
    return openssl(
        folder.path, "verify", "-x509_strict", *more, "-CAfile", f"{root}.crt", "-untrusted", sent, sent, code=code
    )  # fmt: skip


def _lists(folder: Folder) -> list[str]:
    given: list[str] = ["-crl_check_all"]
    for role in folder.roles():
        given += ["-CRLfile", f"{role}.crl"]
    return given


def _shake_hands(folder: Folder, server: str, client: str, roots: tuple[str, str]) -> None:
    """Over a socket: the server trusts the first of `roots` alone, the client the second; both look at the names."""
    issued = folder.path / "issued"
    listening = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listening.load_cert_chain(issued / f"{server}-chain.crt", issued / f"{server}.key")
    listening.verify_mode = ssl.CERT_REQUIRED
    listening.load_verify_locations(folder.path / f"{roots[0]}.crt")
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    own.load_verify_locations(folder.path / f"{roots[1]}.crt")
    own.load_cert_chain(issued / f"{client}-chain.crt", issued / f"{client}.key")
    left, right = socket.socketpair()
    failed: list[BaseException] = []

    def serve() -> None:
        try:
            with listening.wrap_socket(right, server_side=True) as secure:
                secure.sendall(secure.recv(5))
        except (OSError, ssl.SSLError) as error:
            failed.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with left, own.wrap_socket(left, server_hostname="localhost") as secure:
            secure.settimeout(TIMEOUT_S)
            secure.sendall(b"hello")
            assert secure.recv(5) == b"hello"
    finally:
        thread.join(TIMEOUT_S)
    assert failed == []


@pytest.mark.parametrize("root", ROOTS)
def test_openssl_with_either_root_believes_leaves_below_either(
    openssl: Openssl, rolling: Folder, root: str
) -> None:
    for name in LEAVES:
        assert "OK" in _verify(openssl, rolling, root, name)
        assert "OK" in _verify(openssl, rolling, root, name, *_lists(rolling))


@pytest.mark.parametrize("server", ["broker", "broker-2"])
@pytest.mark.parametrize("client", ["device-17", "new"])
def test_clients_and_servers_with_either_root_shake_hands(rolling: Folder, server: str, client: str) -> None:
    for mine in ROOTS:
        for other in ROOTS:
            _shake_hands(rolling, server, client, (mine, other))


@pytest.mark.parametrize("root", ROOTS)
def test_curl_believes_a_server_with_either_root(rolling: Folder, root: str) -> None:
    curl, openssl = needs("curl", "curl"), needs("openssl", "openssl")
    issued = rolling.path / "issued"
    for server in ("broker", "broker-2"):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        serving = subprocess.Popen(
            [openssl, "s_server", "-accept", f"127.0.0.1:{port}", "-www", "-cert", f"{server}.crt", "-key",
             f"{server}.key", "-cert_chain", f"{server}-chain.crt"], cwd=issued, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)  # fmt: skip
        try:
            assert serving.stdout is not None
            assert any("ACCEPT" in line for line in serving.stdout)
            done = subprocess.run(
                [curl, "-sS", "--cacert", rolling.path / f"{root}.crt", f"https://localhost:{port}/"],
                capture_output=True, timeout=TIMEOUT_S, check=False)  # fmt: skip
            assert done.returncode == 0, done.stderr
        finally:
            serving.kill()
            serving.communicate()


def test_the_new_root_has_a_key_and_a_name_of_its_own(rolling: Folder) -> None:
    old, new = (load_certificate(rolling.path / f"{role}.crt") for role in ROOTS)
    assert new.subject.rfc4514_string() == "CN=Gateway Root CA 2"
    assert new.issuer == new.subject
    for role, of, by in (("root-ca", old, new), ("root-ca-2", new, old)):
        cross = load_certificate(rolling.cross_path(role))
        assert cross.subject == of.subject
        assert cross.public_key() == of.public_key()
        assert chain.signed_by(cross, by)
        assert cross.not_valid_after_utc <= min(old.not_valid_after_utc, new.not_valid_after_utc)
    assert load_certificate(rolling.path / "intermediate-ca-2.crt").issuer == new.subject
    assert [line.status for line in show.listing(rolling, now())] == ["valid"] * 10


def test_nothing_is_critical_while_the_root_changes(rolling: Folder) -> None:
    found = check.check(rolling, now(), host="localhost")
    assert {item.what: item.level for item in found} == dict.fromkeys(
        (*ROOTS, "intermediate-ca", "intermediate-ca-2", "broker", "broker-2", "device-17", "new"), OK
    )


def test_it_is_not_finished_while_devices_know_only_the_old_root(rolling: Folder) -> None:
    with pytest.raises(PkiError, match=r"only root-ca vouches for broker, device-17: renew or revoke them"):
        rollover.finish(rolling, None)
    with pytest.raises(PkiError, match="is under way: finish it first"):
        rollover.begin(rolling, rollover.NewRoot())


def test_renewed_leaves_are_below_the_new_root_and_then_it_is_finished(
    openssl: Openssl, rolling: Folder
) -> None:
    renew(rolling, "broker", 0, None)
    revoke(rolling, "device-17", "superseded")
    assert rollover.finish(rolling, None).left == []
    for name in ("broker", "new"):
        assert "OK" in _verify(openssl, rolling, "root-ca-2", name, *_lists(rolling))
        assert len(load_certificates(rolling.leaf(name).chain)) == 2
        _verify(openssl, rolling, "root-ca", name, code=2)
    _shake_hands(rolling, "broker", "new", ("root-ca-2", "root-ca-2"))
    levels = {item.what: item.level for item in check.check(rolling, now() + timedelta(days=3_000))}
    assert levels["root-ca"] == levels["intermediate-ca"] == OK
    assert rolling.trusted_roots() == ["root-ca-2"]
    with pytest.raises(PkiError, match="no change of the root"):
        rollover.finish(rolling, None)


def test_finishing_takes_the_old_roots_certificate_back(openssl: Openssl, rolling: Folder) -> None:
    sent = rolling.path / "kept.crt"
    sent.write_bytes(rolling.leaf("device-17").chain.read_bytes())
    given = ("verify", "-CAfile", "root-ca-2.crt", "-untrusted", "kept.crt")
    openssl(rolling.path, *given, *_lists(rolling), "kept.crt")
    assert rollover.finish(rolling, None, anyway=True).left == ["broker", "device-17"]
    assert "revoked" in openssl(rolling.path, *given, *_lists(rolling), "kept.crt", code=2)
    critical = {item.what for item in check.check(rolling, now()) if item.level == CRITICAL}
    assert critical == {"broker", "device-17"}


def test_finishing_again_after_a_crash(rolling: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(rollover, "write_chains", crash)
        rollover.finish(rolling, None, anyway=True)
    assert rollover.finish(rolling, None, anyway=True).new == "root-ca-2"
    assert len(load_certificates(rolling.leaf("new").chain)) == 2


def test_a_third_root_follows_the_second(openssl: Openssl, rolling: Folder) -> None:
    for name in ("broker", "device-17"):
        renew(rolling, name, 0, None)
    rollover.finish(rolling, None)
    assert rollover.begin(rolling, rollover.NewRoot()).new == "root-ca-3"
    for root in ("root-ca-2", "root-ca-3"):
        assert "OK" in _verify(openssl, rolling, root, "broker", *_lists(rolling))
    for name in (*LEAVES, "broker-2"):
        renew(rolling, name, 0, None)
    rollover.finish(rolling, None)
    assert "OK" in _verify(openssl, rolling, "root-ca-3", "broker", *_lists(rolling))
    assert all(item.level == OK for item in check.check(rolling, now()))


def test_a_renewed_intermediate_goes_below_the_new_root(openssl: Openssl, rolling: Folder) -> None:
    renew(rolling, "intermediate-ca", 0, None)
    for root in ROOTS:
        assert "OK" in _verify(openssl, rolling, root, "device-17", *_lists(rolling))
    assert rollover.finish(rolling, None).left == []
    assert "OK" in _verify(openssl, rolling, "root-ca-2", "device-17", *_lists(rolling))


def test_without_the_old_key_or_with_a_wrong_passphrase_nothing_changes(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "certs")
    folder.init(Plan(root_passphrase=b"old secret", intermediate_passphrase=b"secret"))
    before = sorted(path.name for path in folder.path.rglob("*"))
    with pytest.raises(PkiError, match="wrong passphrase"):
        rollover.begin(folder, rollover.NewRoot(old_passphrase=b"another"))
    with pytest.raises(PkiError, match="no subject"):
        rollover.begin(folder, rollover.NewRoot(old_passphrase=b"old secret", intermediate_subject="nothing"))
    assert sorted(path.name for path in folder.path.rglob("*")) == before
    plan = rollover.NewRoot(
        old_passphrase=b"old secret", passphrase=b"new secret", intermediate_passphrase=b"below"
    )
    rollover.begin(folder, plan)
    issue(folder, Order("client", "x"), b"below")
    with pytest.raises(PkiError, match="wrong passphrase"):
        rollover.finish(folder, b"old secret")
    rollover.finish(folder, b"new secret")


def test_what_fails_half_way_is_undone(issued: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise PkiError("the disk is full")

    before = {path.name for path in issued.path.iterdir()}
    with monkeypatch.context() as patched, pytest.raises(PkiError, match="the disk is full"):
        patched.setattr(Folder, "write_crl", crash)
        rollover.begin(issued, rollover.NewRoot())
    assert {path.name for path in issued.path.iterdir()} == before
    rollover.begin(issued, rollover.NewRoot())


def test_check_says_in_time_that_the_root_ends(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "certs")
    folder.init(Plan(root_days=590, intermediate_days=590))
    issue(folder, Order("client", "x"), None)

    def said() -> list[str]:
        found = check.check(folder, now())
        return [item.text for item in found if item.level == WARNING and item.what == folder.roots()[-1]]

    assert "`gateway pki roll-over` makes another" in said()[0]
    rollover.begin(folder, rollover.NewRoot())
    assert said() == []


def test_the_command_says_what_to_do(issued: Folder) -> None:
    def run(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["pki", "roll-over", "--dir", str(issued.path), *words])
        assert done.exit_code == code, done.output
        return done.output

    assert "root-ca-2.crt and intermediate-ca-2.crt in `ca`" in run()
    assert "renew or revoke them" in run("--finish", code=1)
    assert "not believed any more: device-17" in run("--finish", "--anyway")
