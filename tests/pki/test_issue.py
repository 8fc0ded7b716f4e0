"""issue, csr, sign, renew, revoke, import, selfsigned."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.pki import chain, files, keys, names
from gateway.pki.authority import load_certificate, load_certificates, now
from gateway.pki.errors import PkiError
from gateway.pki.folder import Folder, Plan
from gateway.pki.importing import import_leaf
from gateway.pki.issue import Order, issue, load_request, renew, request, self_signed, sign

HOST = names.alternative_names(["localhost"])


def foreign_request(*extensions: x509.ExtensionType, key: object = None) -> x509.CertificateSigningRequest:
    """A request as somebody else might make it."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(names.subject("CN=foreign,O=Else"))
    for extension in extensions:
        builder = builder.add_extension(extension, False)
    return builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("profile", "usages"),
    [
        ("server", [ExtendedKeyUsageOID.SERVER_AUTH]),
        ("client", [ExtendedKeyUsageOID.CLIENT_AUTH]),
        ("both", [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
    ],
)
@pytest.mark.parametrize("kind", ["p256", "rsa3072", "ed25519"])
def test_leaves_have_the_usages_of_their_profile(
    folder: Folder, profile: str, usages: list[x509.ObjectIdentifier], kind: str
) -> None:
    made = issue(folder, Order(profile, "x", alternative=HOST, key_type=kind), None)
    extensions = made.extensions
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == usages
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert usage.key_encipherment == (kind == "rsa3072")
    assert not usage.key_cert_sign
    assert not chain.is_authority(made)
    path = load_certificates(folder.leaf("x").chain)
    assert chain.problems([*path, folder.root.certificate], [folder.root.certificate], now()) == []


def test_every_kind_of_alternative_name_is_in_the_certificate(folder: Folder) -> None:
    alternative = names.alternative_names(
        ["Broker.Example", "*.example"], ["::1", "10.0.0.1"], ["urn:x:1"], ["a@example"]
    )
    made = issue(folder, Order("server", "x", alternative=alternative), None)
    assert [names.shown(name) for name in names.alternative_names_of(made)] == [
        "DNS:broker.example",
        "DNS:*.example",
        "IP:::1",
        "IP:10.0.0.1",
        "URI:urn:x:1",
        "email:a@example",
    ]


NO_NAMES = [
    ("dns", "a b"),
    ("dns", "-x"),
    ("dns", "1.2.3.4"),
    ("ip", "localhost"),
    ("dns", "*"),
    ("dns", "a\0.example"),
    ("dns", "bücher.example"),
    ("uri", "x"),
    ("uri", "http://["),
    ("email", "x"),
    ("email", "@"),
    ("email", "a@"),
    ("email", "@example"),
    ("email", "a b@example"),
    ("email", "a@*.example"),
]


@pytest.mark.parametrize(("kind", "text"), NO_NAMES)
def test_names_that_are_none_are_refused(kind: str, text: str) -> None:
    with pytest.raises(PkiError, match="is no"):
        names.alternative_names(**{kind: [text]})


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (Order("server", "x"), "needs a --dns or --ip"),
        (Order("server", "x", alternative=HOST, days=3000), "that are left"),
        (Order("wizard", "x"), "unknown profile"),
        (Order("client", "../x"), "cannot be a name"),
        (Order("client", "x-chain"), "cannot be a name"),
        (Order("client", "root-ca"), "what an authority is called"),
        (Order("client", "intermediate-ca-3"), "what an authority is called"),
        (Order("client", "x", "CN"), "is no subject"),
        (Order("client", "x", r"CN=admin\00,O=x"), "cannot be signed|is no subject"),
        (Order("client", "x", crl_uri="nowhere"), "is no URI"),
        (Order("client", "x", crl_uri="http://bücher.example/"), "is no URI"),
        (Order("client", "broker"), "nothing is overwritten"),
    ],
)
def test_orders_that_are_refused_leave_no_trace(issued: Folder, order: Order, said: str) -> None:
    before = issued.intermediate.database.entries()
    with pytest.raises(PkiError, match=said):
        issue(issued, order, None)
    assert issued.intermediate.database.entries() == before
    assert {leaf.name for leaf in issued.leaves()} == {"broker", "device-17"}


def test_serial_numbers_never_come_twice(folder: Folder) -> None:
    serials = {issue(folder, Order("client", f"c{n}"), None).serial_number for n in range(5)}
    assert len(serials) == 5


# -- requests


def test_csr_then_sign_elsewhere_then_import(folder: Folder, tmp_path: Path) -> None:
    asked = request(folder, Order("server", "web", alternative=HOST))
    elsewhere = Folder(tmp_path / "elsewhere")
    elsewhere.init(Plan())
    sign(elsewhere, Order("server", "theirs"), asked, None)
    source = elsewhere.leaf("theirs").chain
    roots = [elsewhere.root.certificate]
    found = import_leaf(folder, "web", source, None, roots, hosts=["localhost"])
    assert keys.spki(keys.load(folder.leaf("web").key).public_key()) == keys.spki(found.public_key())
    assert len(load_certificates(folder.leaf("web").chain)) == 2


def test_sign_takes_the_hosts_from_the_request_and_the_subject_from_the_order(folder: Folder) -> None:
    asked = foreign_request(x509.SubjectAlternativeName([x509.DNSName("asked")]))
    made = sign(folder, Order("server", "a"), asked, None)
    assert made.subject.rfc4514_string() == "CN=a"
    assert names.fits_host(made, "asked")
    made = sign(folder, Order("server", "b", "CN=told", HOST), asked, None)
    assert made.subject.rfc4514_string() == "CN=told"
    assert not names.fits_host(made, "asked")
    made = sign(folder, Order("server", "c", as_requested=True), asked, None)
    assert made.subject.rfc4514_string() == "CN=foreign,O=Else"


def test_sign_makes_nobody_of_a_request_whom_the_operator_did_not_name(folder: Folder) -> None:
    asked = foreign_request(x509.SubjectAlternativeName([x509.RFC822Name("admin@example")]))
    for profile in ("client", "both"):
        with pytest.raises(PkiError, match="wants to be email:admin@example"):
            sign(folder, Order(profile, "x"), asked, None)
    told = names.alternative_names(email=["device@example"])
    assert names.alternative_names_of(sign(folder, Order("client", "x", "", told), asked, None)) == told
    made = sign(folder, Order("client", "y", as_requested=True), asked, None)
    assert [names.shown(name) for name in names.alternative_names_of(made)] == ["email:admin@example"]


class RawNames(x509.UnrecognizedExtension):
    """Alternative names as bytes that no library would write."""

    def __init__(self, *names_: tuple[int, bytes]) -> None:
        inner = b"".join([bytes([0x80 | tag, len(value)]) + value for tag, value in names_])
        super().__init__(x509.SubjectAlternativeName.oid, bytes([0x30, len(inner)]) + inner)


@pytest.mark.parametrize(
    "wanted",
    [
        RawNames((2, b"*")),
        RawNames((2, b"good\0.evil.example")),
        RawNames((2, "bücher.example".encode())),
        RawNames((2, "bücher.example".encode("latin-1"))),
        RawNames((2, b"")),
        RawNames((2, b"ok"), (2, b"a b")),
        RawNames((2, b"ok"), (1, b"@")),
        RawNames((2, b"ok"), (6, b"no uri")),
        RawNames((7, bytes([10, 0, 0, 0, 255, 0, 0, 0]))),
        RawNames((7, b"abc")),
    ],
)
@pytest.mark.parametrize("as_requested", [False, True])
def test_sign_refuses_alternative_names_that_are_none(
    folder: Folder, wanted: x509.ExtensionType, as_requested: bool
) -> None:
    data = foreign_request(wanted).public_bytes(keys.Encoding.PEM)
    with pytest.raises(PkiError):
        sign(folder, Order("server", "x", as_requested=as_requested), load_request(data, "x.csr"), None)
    assert folder.intermediate.database.entries() == []


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (x509.BasicConstraints(True, None), "wants to be an authority"),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), "wants codeSigning"),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), "wants serverAuth"),
        (
            x509.SubjectAlternativeName([x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))]),
            "alternative name",
        ),
        (x509.OCSPNoCheck(), "wants the extension"),
    ],
)
def test_sign_refuses_what_the_profile_forbids(folder: Folder, wanted: x509.ExtensionType, said: str) -> None:
    with pytest.raises(PkiError, match=said):
        sign(folder, Order("client", "x"), foreign_request(wanted), None)
    assert folder.leaves() == []


def test_sign_refuses_weak_keys(folder: Folder) -> None:
    weak = rsa.generate_private_key(public_exponent=65_537, key_size=1024)
    with pytest.raises(PkiError, match="RSA key of 1024 bits"):
        sign(folder, Order("client", "x"), foreign_request(key=weak), None)


def test_sign_refuses_a_request_that_was_changed(folder: Folder) -> None:
    data = bytearray(foreign_request().public_bytes(keys.Encoding.DER))
    at = data.find(b"foreign")
    data[at : at + 7] = b"forgery"
    with pytest.raises(PkiError, match="not signed by its own key"):
        sign(folder, Order("client", "x"), load_request(bytes(data), "x"), None)


def test_a_request_cut_short_is_none() -> None:
    data = foreign_request().public_bytes(keys.Encoding.PEM)
    with pytest.raises(PkiError, match="damaged"):
        load_request(data[:-60], "x")


# -- renew


def test_renew_keeps_the_names_and_changes_key_and_dates(issued: Folder) -> None:
    old = load_certificate(issued.leaf("broker").certificate)
    new = renew(issued, "broker", 500, None)
    assert names.alternative_names_of(new) == names.alternative_names_of(old)
    assert new.subject == old.subject
    assert new.serial_number != old.serial_number
    assert new.not_valid_after_utc - new.not_valid_before_utc == timedelta(days=500)
    key = keys.load(issued.leaf("broker").key).public_key()
    assert keys.spki(key) == keys.spki(new.public_key()) != keys.spki(old.public_key())
    assert load_certificates(issued.leaf("broker").chain)[0] == new


def test_renew_may_keep_the_key(issued: Folder) -> None:
    old = load_certificate(issued.leaf("device-17").certificate)
    assert keys.spki(renew(issued, "device-17", 5, None, keep_key=True).public_key()) == keys.spki(
        old.public_key()
    )


def test_an_encrypted_key_is_not_renewed_into_an_open_one(folder: Folder) -> None:
    issue(folder, Order("client", "x", key_passphrase=b"secret"), None)
    with pytest.raises(PkiError, match="encrypted"):
        renew(folder, "x", 5, None)
    renew(folder, "x", 5, None, key_passphrase=b"secret")
    assert keys.is_encrypted(folder.leaf("x").key)


def test_renewing_the_intermediate_keeps_its_leaves_valid(issued: Folder) -> None:
    renew(issued, "intermediate-ca", 1000, None)
    root = issued.root.certificate
    path = load_certificates(issued.leaf("broker").chain)
    assert path[1] == issued.intermediate.certificate
    assert chain.problems([*path, root], [root], now()) == []


def test_numbers_of_revocation_lists_rise(folder: Folder) -> None:
    numbers = [
        folder.write_crl("intermediate-ca", None).extensions.get_extension_for_class(x509.CRLNumber).value
        for _ in range(3)
    ]
    assert [number.crl_number for number in numbers] == [2, 3, 4]


# -- import


def elsewhere(tmp_path: Path, name: str = "theirs") -> Folder:
    """Another PKI, with a server certificate."""
    made = Folder(tmp_path / name)
    made.init(Plan())
    issue(made, Order("server", "web", alternative=HOST), None)
    return made


def test_import_refuses_what_does_not_fit(issued: Folder, tmp_path: Path) -> None:
    other = elsewhere(tmp_path)
    leaf = other.leaf("web")
    roots = [other.root.certificate]
    with pytest.raises(PkiError, match="is not the key"):
        import_leaf(issued, "web", leaf.chain, issued.leaf("broker").key, roots)
    with pytest.raises(PkiError, match="without a trusted root"):
        import_leaf(issued, "web", leaf.chain, leaf.key, [issued.root.certificate])
    with pytest.raises(PkiError, match="without a trusted root"):
        import_leaf(issued, "web", leaf.certificate, leaf.key, roots)
    with pytest.raises(PkiError, match=r"is not for example\.org"):
        import_leaf(issued, "web", leaf.chain, leaf.key, roots, hosts=["example.org"])
    with pytest.raises(PkiError, match="an authority's, not a leaf"):
        import_leaf(issued, "web", other.path / "intermediate-ca.crt", leaf.key, roots)
    with pytest.raises(PkiError, match="nothing is overwritten"):
        import_leaf(issued, "broker", leaf.chain, leaf.key, roots)
    assert not issued.leaf("web").certificate.exists()
    import_leaf(issued, "web", leaf.chain, leaf.key, roots, hosts=["localhost"])
    assert issued.leaf("web").key.stat().st_mode & 0o777 == 0o600


def test_import_refuses_a_chain_cut_short(issued: Folder, tmp_path: Path) -> None:
    leaf = elsewhere(tmp_path).leaf("web")
    cut = tmp_path / "cut.pem"
    cut.write_bytes(leaf.chain.read_bytes()[:-100])
    with pytest.raises(PkiError, match="damaged"):
        import_leaf(issued, "web", cut, leaf.key, [])


def test_self_signed_is_for_this_machine(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "new")
    made = self_signed(folder, Order("server", "dev", alternative=HOST))
    assert made.issuer == made.subject
    assert not files.too_open(folder.leaf("dev").key)
