"""What an authority's .cnf has every certificate say of lists, answers and issuers; and who may be named in one.

openssl's own words (x509v3_config(5), ca(1)), so that either side issues alike:

    crlDistributionPoints = URI:http://pki.example/intermediate-ca.crl
    authorityInfoAccess = OCSP;URI:http://pki.example/ocsp,caIssuers;URI:http://pki.example/intermediate-ca.crt
    crlDistributionPoints = @lists          and then [lists] URI.0 = http://…

    policy = match_example                  and then [match_example] countryName = match …
"""

from typing import Final

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID, ObjectIdentifier

from gateway.pki import names
from gateway.pki.conf import Conf
from gateway.pki.errors import PkiError
from gateway.pki.profiles import Extensions

_ACCESS: Final = {
    "OCSP": AuthorityInformationAccessOID.OCSP,
    "caIssuers": AuthorityInformationAccessOID.CA_ISSUERS,
}

_FIELDS: Final = {
    "domainComponent": NameOID.DOMAIN_COMPONENT,
    "countryName": NameOID.COUNTRY_NAME,
    "stateOrProvinceName": NameOID.STATE_OR_PROVINCE_NAME,
    "localityName": NameOID.LOCALITY_NAME,
    "organizationName": NameOID.ORGANIZATION_NAME,
    "organizationalUnitName": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "commonName": NameOID.COMMON_NAME,
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "userId": NameOID.USER_ID,
    "title": NameOID.TITLE,
    "surname": NameOID.SURNAME,
    "givenName": NameOID.GIVEN_NAME,
}
"""openssl's long names of what a subject has."""


def extensions(conf: Conf, authority: str, wanted: str) -> Extensions:
    """The places that the section `wanted` says, or where there is none the one that the authority's section names as
    `x509_extensions`.  Raises PkiError."""
    section = wanted if wanted in conf.sections else conf.get(authority, "x509_extensions", "")
    keys = conf.sections.get(section, {})
    found: Extensions = []
    lists = [
        _uri(text) for kind, text in _items(conf, keys.get("crlDistributionPoints", "")) if kind == "URI"
    ]
    if lists:
        points = [x509.DistributionPoint([uri], None, None, None) for uri in lists]
        found.append((x509.CRLDistributionPoints(points), False))
    access: list[x509.AccessDescription] = []
    for kind, text in _items(conf, keys.get("authorityInfoAccess", "")):
        method, _, form = kind.partition(";")
        if method in _ACCESS and form == "URI":
            access.append(x509.AccessDescription(_ACCESS[method], _uri(text)))
    if access:
        found.append((x509.AuthorityInformationAccess(access), False))
    return found


def _items(conf: Conf, value: str) -> list[tuple[str, str]]:
    """`URI:http://…,URI:…` or `@section`, as (what stands before the colon, what behind it)."""
    if value.startswith("@"):
        # `URI.0` and `URI.1` are both URI.
        return [
            (key.partition(".")[0], text) for key, text in conf.sections.get(value[1:].strip(), {}).items()
        ]
    found: list[tuple[str, str]] = []
    for item in value.split(","):
        kind, colon, text = item.strip().partition(":")
        if colon:
            found.append((kind.strip(), text.strip()))
    return found


def _uri(text: str) -> x509.UniformResourceIdentifier:
    [found] = names.alternative_names(uri=[text])
    assert isinstance(found, x509.UniformResourceIdentifier)
    return found


def subject(conf: Conf, authority: str, asked: x509.Name, issuer: x509.Name, *, complete: bool) -> x509.Name:
    """`asked`, if the authority's policy lets it be signed.  Raises PkiError.

    `match` is the same as the authority's, `supplied` must be there, `optional` may be, and nothing else may; but a policy
    that has nothing match only says what must be there.  With `complete` what must match is added where it is missing.
    """
    policy = conf.sections.get(conf.get(authority, "policy", ""), {})
    if not policy:
        return asked
    rules = {_FIELDS[key]: (key, rule) for key, rule in policy.items() if key in _FIELDS}
    added: list[x509.NameAttribute[str | bytes]] = []
    for oid, (key, rule) in rules.items():
        own = asked.get_attributes_for_oid(oid)
        if rule == "supplied" and not own:
            raise PkiError(f"the authority's policy wants a subject with {key}")
        if rule == "match":
            wanted = issuer.get_attributes_for_oid(oid)
            if not own and complete:
                added += wanted
            elif [item.value for item in own] != [item.value for item in wanted]:
                said = ", ".join([str(item.value) for item in wanted]) or "nothing"
                raise PkiError(f"the authority's policy wants {key} to be {said}")
    strict = any(rule == "match" for rule in policy.values())
    for item in asked:
        if strict and item.oid not in rules:
            raise PkiError(f"the authority's policy does not let a subject have {_name(item.oid)}")
    # The widest comes first (X.500), as the authority has it.
    return x509.Name([*added, *asked]) if added else asked


def _name(oid: ObjectIdentifier) -> str:
    return next((key for key, known in _FIELDS.items() if known == oid), oid._name)
