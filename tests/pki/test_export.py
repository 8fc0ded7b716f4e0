"""export: openssl and Java read what is written."""

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12
from pki_tools import TIMEOUT_S, Openssl, needs

from gateway.pki import keys
from gateway.pki.authority import load_certificates
from gateway.pki.errors import PkiError
from gateway.pki.export import FORMATS, export, format_of
from gateway.pki.folder import Folder

SECRET = b"changeit"


def _export(folder: Folder, form: str, passphrase: bytes | None = SECRET) -> bytes:
    leaf = folder.leaf("broker")
    authorities = [folder.root.certificate]
    if form == "truststore":
        authorities.append(folder.intermediate.certificate)
    return export(form, "broker", load_certificates(leaf.chain), keys.load(leaf.key), authorities, passphrase)


def test_pem_and_der_are_read_by_openssl(openssl: Openssl, issued: Folder, tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_bytes(_export(issued, "pem", None))
    (tmp_path / "x.der").write_bytes(_export(issued, "der"))
    assert "CN = broker" in openssl(tmp_path, "x509", "-in", "x.pem", "-noout", "-subject")
    assert "CN = broker" in openssl(tmp_path, "x509", "-inform", "DER", "-in", "x.der", "-noout", "-subject")
    openssl(tmp_path, "pkey", "-in", "x.pem", "-noout", "-check")


def test_pkcs7_has_the_whole_chain(openssl: Openssl, issued: Folder, tmp_path: Path) -> None:
    (tmp_path / "x.p7b").write_bytes(_export(issued, "pkcs7"))
    assert len(pkcs7.load_pem_pkcs7_certificates((tmp_path / "x.p7b").read_bytes())) == 3
    assert openssl(tmp_path, "pkcs7", "-in", "x.p7b", "-print_certs", "-noout").count("subject=") == 3


def test_pkcs12_has_key_and_chain(openssl: Openssl, issued: Folder, tmp_path: Path) -> None:
    (tmp_path / "x.p12").write_bytes(_export(issued, "pkcs12"))
    said = openssl(tmp_path, "pkcs12", "-in", "x.p12", "-passin", "pass:changeit", "-nodes")
    assert said.count("BEGIN CERTIFICATE") == 3
    assert "BEGIN PRIVATE KEY" in said
    openssl(tmp_path, "pkcs12", "-in", "x.p12", "-passin", "pass:wrong", "-nodes", code=1)


def _keytool(*arguments: str) -> str:
    command = [needs("keytool", "default-jre-headless"), "-J-Duser.language=en", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_keytool_reads_the_trust_store_as_trusted(issued: Folder, tmp_path: Path) -> None:
    path = tmp_path / "trust.p12"
    path.write_bytes(_export(issued, "truststore"))
    said = _keytool("-list", "-keystore", str(path), "-storepass", "changeit")
    assert "contains 2 entries" in said
    assert said.count("trustedCertEntry") == 2
    assert "gateway root ca" in said


def test_keytool_reads_the_key_store(issued: Folder, tmp_path: Path) -> None:
    path = tmp_path / "key.p12"
    path.write_bytes(_export(issued, "pkcs12"))
    said = _keytool("-list", "-v", "-keystore", str(path), "-storepass", "changeit")
    assert "PrivateKeyEntry" in said
    assert "Certificate chain length: 3" in said


@pytest.mark.parametrize("name", ["broker", ""])
def test_keytool_reads_the_store_of_old_java(issued: Folder, tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.jks"
    if name:
        path.write_bytes(_export(issued, "jks"))
    else:
        path.write_bytes(export("jks", "", [], None, [issued.root.certificate], SECRET))
    said = _keytool("-list", "-v", "-storetype", "JKS", "-keystore", str(path), "-storepass", "changeit")
    assert ("PrivateKeyEntry" if name else "trustedCertEntry") in said
    if name:
        # The key itself comes out again, and is the one that went in.
        _keytool("-importkeystore", "-srckeystore", str(path), "-srcstoretype", "JKS", "-srcstorepass", "changeit",
                 "-destkeystore", str(tmp_path / "y.p12"), "-deststoretype", "PKCS12", "-deststorepass",
                 "changeit")  # fmt: skip
        found, _, more = pkcs12.load_key_and_certificates((tmp_path / "y.p12").read_bytes(), SECRET)
        assert found is not None
        assert keys.spki(found.public_key()) == keys.spki(keys.load(issued.leaf(name).key).public_key())  # type: ignore[arg-type]
        assert len(more) == 2


@pytest.mark.parametrize(
    ("word", "form"), [("p12", "pkcs12"), ("PFX", "pkcs12"), ("p7b", "pkcs7"), ("jks", "jks")]
)
def test_formats_have_the_names_of_their_files_too(word: str, form: str) -> None:
    assert format_of(word) == form


def test_a_trust_store_needs_a_passphrase(issued: Folder) -> None:
    with pytest.raises(PkiError, match="needs a passphrase"):
        _export(issued, "truststore", None)


def test_an_unknown_format_names_the_known_ones(issued: Folder) -> None:
    with pytest.raises(PkiError, match=", ".join(FORMATS)):
        _export(issued, "xml")
