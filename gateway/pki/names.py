"""Who a certificate is for: subjects and alternative names."""

import ipaddress
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import NameOID

from gateway.pki.errors import PkiError

FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
"""What `--name` may be: it becomes a file's name."""

_DNS: Final = re.compile(
    r"(?=.{1,253}$)(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
)

_EMAIL: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@(.+)")
"""RFC 5321 §4.1.2, without quotes."""

# As openssl abbreviates them in a line.
_SHORT: Final = {
    NameOID.COMMON_NAME: "CN",
    NameOID.COUNTRY_NAME: "C",
    NameOID.LOCALITY_NAME: "L",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.DOMAIN_COMPONENT: "DC",
    NameOID.EMAIL_ADDRESS: "emailAddress",
    NameOID.USER_ID: "UID",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.SURNAME: "SN",
    NameOID.GIVEN_NAME: "GN",
    NameOID.TITLE: "title",
}

_PLAIN: Final = {
    NameOID.COUNTRY_NAME,
    NameOID.SERIAL_NUMBER,
    NameOID.DN_QUALIFIER,
    NameOID.JURISDICTION_COUNTRY_NAME,
}
_PRINTABLE: Final = re.compile(r"[A-Za-z0-9 '()+,./:=?-]+")
"""What a PrintableString may have (X.680 §41.4), which those of _PLAIN are."""


def check_file_name(name: str) -> str:
    """`name`, if it may be a file's name.  Raises PkiError."""
    if not FILE_NAME.fullmatch(name) or name.endswith("-chain"):
        raise PkiError(
            f"{name!r} cannot be a name: letters, digits and ._@- (not first), 64 at most, no -chain"
        )
    return name


def subject(text: str) -> x509.Name:
    """`CN=device-17,O=Example` (RFC 4514), most specific first as people write it.  Raises PkiError."""
    try:
        name = x509.Name.from_rfc4514_string(text, {"emailAddress": NameOID.EMAIL_ADDRESS})
    except ValueError as error:
        raise PkiError(f"{text!r} is no subject like CN=device-17,O=Example: {error}") from None
    return checked_subject(name)


def checked_subject(name: x509.Name) -> x509.Name:
    """`name`, if it may be signed: nothing in it is empty or cannot be printed.  Raises PkiError."""
    if not list(name):
        raise PkiError("a subject needs at least one part, like CN=device-17")
    for attribute in name:
        value = attribute.value
        if attribute.oid in _PLAIN and isinstance(value, str) and not _PRINTABLE.fullmatch(value):
            raise PkiError(
                f"the subject's {_SHORT.get(attribute.oid, 'part')} {value!r} may only have ASCII letters"
            )
        # A NUL or line feed ends the name for some who read it, and not for others.
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise PkiError(f"the subject's {_SHORT.get(attribute.oid, 'part')} {value!r} cannot be signed")
    return name


def common_name(name: x509.Name) -> str:
    """The common name; empty when there is none, or more than one."""
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if len(found) == 1 else ""


def one_line(name: x509.Name) -> str:
    """`/O=Example/CN=device-17`, as openssl writes it in index.txt."""
    line = ""
    for attribute in name:
        value = attribute.value
        data = value if isinstance(value, bytes) else value.encode()
        shown = "".join([chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02X}" for byte in data])
        line += f"/{_SHORT.get(attribute.oid, attribute.oid.dotted_string)}={shown}"
    return line


def alternative_names(
    dns: Iterable[str] = (), ip: Iterable[str] = (), uri: Iterable[str] = (), email: Iterable[str] = ()
) -> list[x509.GeneralName]:
    """Alternative names, in this order, each once.  Raises PkiError naming the one that is none."""
    found: list[x509.GeneralName] = []
    for name in dns:
        if not _DNS.fullmatch(name) or name.replace(".", "").isdigit():
            raise PkiError(f"{name!r} is no DNS name")
        found.append(x509.DNSName(name.lower()))
    for address in ip:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(address)))
        except ValueError:
            raise PkiError(f"{address!r} is no IP address") from None
    found += [_uri(text) for text in uri]
    found += [_email(text) for text in email]
    return list(dict.fromkeys(found))


def _uri(text: str) -> x509.UniformResourceIdentifier:
    try:
        scheme = urlsplit(text).scheme
    except ValueError:
        scheme = ""
    if not scheme or not text.isascii() or not text.isprintable() or " " in text:
        raise PkiError(f"{text!r} is no URI")
    return x509.UniformResourceIdentifier(text)


def _email(text: str) -> x509.RFC822Name:
    found = _EMAIL.fullmatch(text)
    if found is None or not _DNS.fullmatch(found[1]) or found[1].startswith("*"):
        raise PkiError(f"{text!r} is no e-mail address")
    return x509.RFC822Name(text)


def checked_alternative_names(found: Iterable[x509.GeneralName]) -> list[x509.GeneralName]:
    """Names that somebody else wrote down, each held to what `alternative_names` takes.  Raises PkiError."""
    checked: list[x509.GeneralName] = []
    for name in found:
        if isinstance(name, x509.DNSName):
            checked += alternative_names(dns=[name.value])
        elif isinstance(name, x509.IPAddress):
            checked += alternative_names(ip=[str(name.value)])
        elif isinstance(name, x509.UniformResourceIdentifier):
            checked.append(_uri(name.value))
        elif isinstance(name, x509.RFC822Name):
            checked.append(_email(name.value))
        else:
            raise PkiError(f"an alternative name of the kind {shown(name)} is not signed here")
    return list(dict.fromkeys(checked))


def alternative_names_of(
    certificate: x509.Certificate | x509.CertificateSigningRequest,
) -> list[x509.GeneralName]:
    """The alternative names in a certificate or request; none is an empty list."""
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def shown(name: x509.GeneralName) -> str:
    """`DNS:localhost`, `IP:127.0.0.1`."""
    kinds = {x509.DNSName: "DNS", x509.IPAddress: "IP", x509.RFC822Name: "email"}
    if isinstance(name, x509.UniformResourceIdentifier):
        return f"URI:{name.value}"
    kind = kinds.get(type(name))
    return f"{kind}:{name.value}" if kind else f"{type(name).__name__}"


def fits_host(certificate: x509.Certificate, host: str) -> bool:
    """May a server that shows this certificate be `host` (a DNS name or an IP address)?  RFC 6125: only
    alternative names count, and a wildcard stands for exactly one label."""
    names = alternative_names_of(certificate)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        wanted = host.lower().rstrip(".")
        _, _, parent = wanted.partition(".")
        patterns = [name.value.lower() for name in names if isinstance(name, x509.DNSName)]
        return wanted in patterns or (bool(parent) and f"*.{parent}" in patterns)
    return any(isinstance(name, x509.IPAddress) and name.value == address for name in names)
