"""OCSP: answers to the clause (RFC 6960), as openssl asks and verifies; what no request may bring about."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.ocsp import OCSPCertStatus, OCSPResponseStatus
from hypothesis import given, settings
from hypothesis import strategies as st
from pki_tools import Openssl

from gateway.pki import keys, rollover
from gateway.pki.authority import load_certificate, now
from gateway.pki.errors import PkiError
from gateway.pki.folder import Folder, Plan
from gateway.pki.issue import Order, issue
from gateway.pki.ocsp import NONCE_BYTES_MAX, REQUEST_BYTES_MAX, Responder, make_responder, responder_paths
from gateway.pki.ocsp_several import SINGLES_MAX, apart
from gateway.pki.revoking import release, revoke

ISSUER = "intermediate-ca"


@pytest.fixture
def answering(issued: Folder) -> Folder:
    make_responder(issued, ISSUER, None)
    return issued


def _asked(
    folder: Folder, name: str, *, nonce: bytes = b"", digest: hashes.HashAlgorithm | None = None
) -> bytes:
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        load_certificate(folder.leaf(name).certificate), folder.intermediate.certificate, digest or hashes.SHA1()
    )  # fmt: skip
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(nonce), False)
    return builder.build().public_bytes(Encoding.DER)


def _answer(folder: Folder, request: bytes) -> ocsp.OCSPResponse:
    return ocsp.load_der_ocsp_response(Responder(folder).answer(request))


def test_good_revoked_on_hold_and_unknown(answering: Folder) -> None:
    responder = Responder(answering)

    def status(name: str) -> tuple[OCSPCertStatus, x509.ReasonFlags | None]:
        found = ocsp.load_der_ocsp_response(responder.answer(_asked(answering, name)))
        return found.certificate_status, found.revocation_reason

    assert status("device-17") == (OCSPCertStatus.GOOD, None)
    revoke(answering, "device-17", "certificateHold")
    assert status("device-17") == (OCSPCertStatus.REVOKED, x509.ReasonFlags.certificate_hold)
    release(answering, "device-17")
    assert status("device-17") == (OCSPCertStatus.GOOD, None)
    revoke(answering, "device-17", "keyCompromise")
    assert status("device-17") == (OCSPCertStatus.REVOKED, x509.ReasonFlags.key_compromise)
    revoke(answering, "broker", "unspecified")
    assert status("broker") == (OCSPCertStatus.REVOKED, None)
    asked = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
        *_hashes(_asked(answering, "broker")), 4711, hashes.SHA1()
    )
    found = _answer(answering, asked.build().public_bytes(Encoding.DER))
    assert found.certificate_status == OCSPCertStatus.UNKNOWN


def _hashes(request: bytes) -> tuple[bytes, bytes]:
    asked = ocsp.load_der_ocsp_request(request)
    return asked.issuer_name_hash, asked.issuer_key_hash


def test_an_answer_is_signed_by_a_delegate_and_says_how_long_it_counts(answering: Folder) -> None:
    found = _answer(answering, _asked(answering, "broker"))
    [signer] = found.certificates
    issuer = answering.intermediate.certificate
    signer.verify_directly_issued_by(issuer)
    assert keys.spki(signer.public_key()) != keys.spki(issuer.public_key())
    # §4.2.2.2 and §4.2.2.2.1
    usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.oid.ExtendedKeyUsageOID.OCSP_SIGNING]
    assert signer.extensions.get_extension_for_class(x509.OCSPNoCheck)
    assert signer.not_valid_after_utc - now() <= timedelta(days=60)
    assert found.this_update_utc <= now()
    assert found.next_update_utc is not None
    assert timedelta(0) < found.next_update_utc - now() <= timedelta(hours=1)


def test_a_nonce_comes_back_and_is_bounded(answering: Folder) -> None:
    nonce = b"n" * 32
    found = _answer(answering, _asked(answering, "broker", nonce=nonce))
    assert found.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == nonce
    assert list(_answer(answering, _asked(answering, "broker")).extensions) == []
    long = _answer(answering, _asked(answering, "broker", nonce=b"n" * (NONCE_BYTES_MAX + 1)))
    assert long.response_status == OCSPResponseStatus.MALFORMED_REQUEST


@pytest.mark.parametrize("digest", [hashes.SHA1(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_authorities_may_be_named_by_any_digest(answering: Folder, digest: hashes.HashAlgorithm) -> None:
    found = _answer(answering, _asked(answering, "broker", digest=digest))
    assert found.certificate_status == OCSPCertStatus.GOOD
    assert found.hash_algorithm.name == digest.name


def test_who_is_not_answered_for_is_unauthorized(answering: Folder, tmp_path: Path) -> None:
    # The root has no responder.
    below = answering.intermediate.certificate
    asked = ocsp.OCSPRequestBuilder().add_certificate(below, answering.root.certificate, hashes.SHA1())
    found = _answer(answering, asked.build().public_bytes(Encoding.DER))
    assert found.response_status == OCSPResponseStatus.UNAUTHORIZED
    other = Folder(tmp_path / "other")
    other.init(Plan())
    issue(other, Order("client", "x"), None)
    assert _answer(answering, _asked(other, "x")).response_status == OCSPResponseStatus.UNAUTHORIZED


def test_damaged_files_are_an_internal_error(answering: Folder) -> None:
    answering.intermediate.database.index.write_text("nothing of openssl's\n")
    found = _answer(answering, _asked(answering, "broker"))
    assert found.response_status == OCSPResponseStatus.INTERNAL_ERROR


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200))
def test_no_bytes_bring_about_more_than_malformed(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    found = ocsp.load_der_ocsp_response(Responder(Folder(Path("/nonexistent"))).answer(data))
    assert found.response_status == OCSPResponseStatus.MALFORMED_REQUEST


def test_one_bit_changed_is_answered_all_the_same(answering: Folder) -> None:
    asked = _asked(answering, "broker", nonce=b"n" * 16)
    responder = Responder(answering)
    for at in range(len(asked) * 8):
        changed = bytearray(asked)
        changed[at // 8] ^= 1 << at % 8
        ocsp.load_der_ocsp_response(responder.answer(bytes(changed)))
    assert _answer(answering, b"\x30" * (REQUEST_BYTES_MAX + 1)).response_status == (
        OCSPResponseStatus.MALFORMED_REQUEST
    )


@pytest.mark.parametrize("kind", ["p256", "rsa3072"])
@pytest.mark.parametrize("digest", ["-sha1", "-sha256"])
def test_openssl_asks_and_verifies(openssl: Openssl, tmp_path: Path, kind: str, digest: str) -> None:
    folder = Folder(tmp_path / "certs")
    folder.init(Plan(key_type=kind))
    issue(folder, Order("client", "x"), None)
    make_responder(folder, ISSUER, None)

    def ask() -> str:
        openssl(
            folder.path,
            "ocsp",
            "-no_nonce",
            digest,
            "-issuer",
            f"{ISSUER}.crt",
            "-cert",
            "issued/x.crt",
            "-reqout",
            "asked",
        )
        (folder.path / "said").write_bytes(Responder(folder).answer((folder.path / "asked").read_bytes()))
        said = ("-respin", "said", "-CAfile", "root-ca.crt", "-verify_other", f"{ISSUER}.crt")
        return openssl(
            folder.path,
            "ocsp",
            digest,
            "-no_nonce",
            "-issuer",
            f"{ISSUER}.crt",
            "-cert",
            "issued/x.crt",
            *said,
        )

    said = ask()
    assert "Response verify OK" in said
    assert "issued/x.crt: good" in said
    revoke(folder, "x", "superseded")
    said = ask()
    assert "Response verify OK" in said
    assert "issued/x.crt: revoked" in said
    assert "Reason: superseded" in said


def test_a_further_intermediate_is_answered_for_too(answering: Folder) -> None:
    responder = Responder(answering)
    assert responder.answer(_asked(answering, "broker"))
    rollover.begin(answering, rollover.NewRoot())
    leaf = issue(answering, Order("client", "new"), None)
    make_responder(answering, "intermediate-ca-2", None)
    issuer = answering.issuing().certificate
    asked = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA1()).build()
    found = ocsp.load_der_ocsp_response(responder.answer(asked.public_bytes(Encoding.DER)))
    assert found.certificate_status == OCSPCertStatus.GOOD


def test_without_the_authoritys_key_no_responder_is_made_and_one_that_is_there_goes_on(
    answering: Folder,
) -> None:
    answering.intermediate.key_path.unlink()
    with pytest.raises(PkiError, match="kept elsewhere"):
        make_responder(answering, ISSUER, None)
    assert all(path.exists() for path in responder_paths(answering, ISSUER))
    assert _answer(answering, _asked(answering, "broker")).certificate_status == OCSPCertStatus.GOOD


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa3072", "ed25519"])
def test_openssl_asks_for_several_at_once_and_verifies(openssl: Openssl, tmp_path: Path, kind: str) -> None:
    # RFC 6960 §4.1.1 and §4.2.1: requestList, and as many SingleResponses.
    folder = Folder(tmp_path / "certs")
    folder.init(Plan(key_type=kind))
    for name in ("one", "two", "three"):
        issue(folder, Order("client", name), None)
    make_responder(folder, ISSUER, None)
    revoke(folder, "two", "superseded")
    asked = ["-issuer", f"{ISSUER}.crt"]
    for name in ("one", "two", "three"):
        asked += ["-cert", f"issued/{name}.crt"]
    openssl(folder.path, "ocsp", "-no_nonce", *asked, "-reqout", "asked")
    request = (folder.path / "asked").read_bytes()
    (folder.path / "said").write_bytes(Responder(folder).answer(request))
    said = openssl(
        folder.path, "ocsp", "-no_nonce", *asked, "-respin", "said", "-CAfile", "root-ca.crt",
        "-verify_other", f"{ISSUER}.crt",
    )  # fmt: skip
    assert "Response verify OK" in said
    assert [line for line in said.splitlines() if line.startswith("issued/")] == [
        "issued/one.crt: good",
        "issued/two.crt: revoked",
        "issued/three.crt: good",
    ]
    several = ocsp.load_der_ocsp_response((folder.path / "said").read_bytes())
    assert len(list(several.responses)) == 3
    # With a nonce, which comes back (RFC 6960 §4.4.1).
    openssl(folder.path, "ocsp", *asked, "-reqout", "asked")
    request = (folder.path / "asked").read_bytes()
    nonces = [
        ocsp.load_der_ocsp_request(single).extensions.get_extension_for_class(x509.OCSPNonce).value
        for single in apart(request)
    ]
    found = _answer(folder, request)
    assert len(nonces) == 3
    assert {found.extensions.get_extension_for_class(x509.OCSPNonce).value} == set(nonces)


def test_one_bit_changed_in_a_request_for_several_is_answered_all_the_same(
    openssl: Openssl, answering: Folder
) -> None:
    asked = ("-cert", "issued/broker.crt", "-cert", "issued/device-17.crt")
    openssl(answering.path, "ocsp", "-issuer", f"{ISSUER}.crt", *asked, "-reqout", "asked")
    request = (answering.path / "asked").read_bytes()
    responder = Responder(answering)
    for at in range(len(request) * 8):
        changed = bytearray(request)
        changed[at // 8] ^= 1 << at % 8
        ocsp.load_der_ocsp_response(responder.answer(bytes(changed)))


def test_authorities_that_nobody_may_sign_for_together_are_unauthorized(
    openssl: Openssl, answering: Folder
) -> None:
    make_responder(answering, "root-ca", None)
    openssl(
        answering.path, "ocsp", "-no_nonce", "-issuer", f"{ISSUER}.crt", "-cert", "issued/broker.crt",
        "-issuer", "root-ca.crt", "-cert", f"{ISSUER}.crt", "-reqout", "asked",
    )  # fmt: skip
    found = _answer(answering, (answering.path / "asked").read_bytes())
    assert found.response_status == OCSPResponseStatus.UNAUTHORIZED


def test_more_than_are_answered_at_once_are_malformed(openssl: Openssl, answering: Folder) -> None:
    def status(count: int) -> OCSPResponseStatus:
        serials = [word for number in range(count) for word in ("-serial", str(number + 1))]
        openssl(answering.path, "ocsp", "-issuer", f"{ISSUER}.crt", *serials, "-reqout", "asked")
        return _answer(answering, (answering.path / "asked").read_bytes()).response_status

    assert status(SINGLES_MAX) == OCSPResponseStatus.SUCCESSFUL
    assert status(SINGLES_MAX + 1) == OCSPResponseStatus.MALFORMED_REQUEST
