"""Why a client, or a server, would refuse a certificate whose signatures and dates are in order.

What it may be used for (RFC 5280 §4.2.1.3, §4.2.1.9, §4.2.1.12), the names that an authority above it may vouch for
(§4.2.1.10), and extensions that are critical and nobody knows (§4.2).  Authorities are held to the same purposes as their
leaves, as OpenSSL, NSS, GnuTLS and Java do.
"""

import ipaddress
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, ObjectIdentifier

from gateway.pki import names

SERVER: Final = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT: Final = ExtendedKeyUsageOID.CLIENT_AUTH
WORDS: Final = {SERVER: "a server", CLIENT: "a client"}

KNOWN: Final = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.NAME_CONSTRAINTS,
    ExtensionOID.CERTIFICATE_POLICIES,
    ExtensionOID.POLICY_CONSTRAINTS,
    ExtensionOID.POLICY_MAPPINGS,
    ExtensionOID.INHIBIT_ANY_POLICY,
    ExtensionOID.CRL_DISTRIBUTION_POINTS,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER,
    ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
}
"""Extensions that may be critical; any other that is makes the certificate useless."""


def purpose_of(leaf: x509.Certificate) -> ObjectIdentifier:
    """What a leaf is most likely for: a client only if nothing in it speaks of a server."""
    usages = _usages(leaf)
    return CLIENT if usages is not None and CLIENT in usages and SERVER not in usages else SERVER


def misfits(
    path: Sequence[x509.Certificate], purpose: ObjectIdentifier
) -> list[tuple[x509.Certificate, str]]:
    """What is wrong in a chain, its leaf first: each certificate with a reason."""
    leaf = path[0]
    found = [(leaf, text) for text in _leaf_misfits(leaf, purpose)]
    for certificate in path:
        found += [(certificate, text) for text in _unknown_critical(certificate)]
    for certificate in path[1:]:
        usages = _usages(certificate)
        if (
            usages is not None
            and purpose not in usages
            and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in usages
        ):
            found.append((certificate, f"its extended key usage does not let it vouch for {WORDS[purpose]}"))
        found += [(certificate, text) for text in _outside(certificate, leaf)]
    return found


def _leaf_misfits(leaf: x509.Certificate, purpose: ObjectIdentifier) -> list[str]:
    found: list[str] = []
    if _is_authority(leaf):
        found.append(f"is marked as an authority (CA:TRUE), and shown as {WORDS[purpose]}'s own")
    usages = _usages(leaf)
    if usages is not None and purpose not in usages:
        found.append(f"its extended key usage is not that of {WORDS[purpose]}")
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return found
    if not usage.digital_signature:
        found.append("its key usage lacks digital signature, which every handshake of today needs")
    return found


def _usages(certificate: x509.Certificate) -> set[ObjectIdentifier] | None:
    try:
        return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return None


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _unknown_critical(certificate: x509.Certificate) -> list[str]:
    return [
        f"the critical extension {extension.oid.dotted_string} is unknown to clients"
        for extension in certificate.extensions
        if extension.critical and extension.oid not in KNOWN
    ]


# -- name constraints


def _outside(authority: x509.Certificate, leaf: x509.Certificate) -> list[str]:
    """Names of `leaf` that `authority` must not vouch for."""
    try:
        constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return []
    found: list[str] = []
    alternative = names.alternative_names_of(leaf)
    if list(leaf.subject):
        alternative.append(x509.DirectoryName(leaf.subject))
    for name in alternative:
        excluded = [tree for tree in constraints.excluded_subtrees or () if type(tree) is type(name)]
        permitted = [tree for tree in constraints.permitted_subtrees or () if type(tree) is type(name)]
        if any(_within(name, tree) for tree in excluded) or (
            permitted and not any(_within(name, tree) for tree in permitted)
        ):
            said = (
                names.shown(name)
                if not isinstance(name, x509.DirectoryName)
                else leaf.subject.rfc4514_string()
            )
            found.append(f"its name constraints do not allow {said}")
    return found


def _within(name: x509.GeneralName, tree: x509.GeneralName) -> bool:
    """Is `name` in the subtree `tree`, which is of the same kind?"""
    if isinstance(name, x509.DNSName):
        return _below(name.value, str(tree.value).removeprefix("."))
    if isinstance(name, x509.IPAddress):
        network = tree.value
        return isinstance(network, ipaddress.IPv4Network | ipaddress.IPv6Network) and name.value in network
    if isinstance(name, x509.RFC822Name):
        return _mail_within(name.value, str(tree.value))
    if isinstance(name, x509.UniformResourceIdentifier):
        return _host_within(urlsplit(name.value).hostname or "", str(tree.value))
    if isinstance(name, x509.DirectoryName) and isinstance(tree, x509.DirectoryName):
        above = list(tree.value.rdns)
        return list(name.value.rdns)[: len(above)] == above
    return False


def _below(name: str, domain: str) -> bool:
    name, domain = name.lower().rstrip("."), domain.lower().rstrip(".")
    return not domain or name == domain or name.endswith(f".{domain}")


def _host_within(host: str, tree: str) -> bool:
    """With a leading dot hosts below a domain, else one host."""
    return host.lower().endswith(tree.lower()) if tree.startswith(".") else host.lower() == tree.lower()


def _mail_within(address: str, tree: str) -> bool:
    return address.lower() == tree.lower() if "@" in tree else _host_within(address.rpartition("@")[2], tree)
