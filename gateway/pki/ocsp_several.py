"""OCSP requests for several certificates (RFC 6960 §4.1.1), which the library neither reads nor answers.

Such a request is taken apart into requests for one; what is said to each is put together and signed once more.
"""

from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from gateway.pki import der, keys
from gateway.pki.errors import PkiError

SINGLES_MAX: Final = 16
"""Certificates that one request may ask for: each costs a signature."""


def apart(request: bytes) -> list[bytes]:
    """A request as requests for one certificate each, in its order; they keep its extensions.  Raises PkiError for what is
    none, or asks for too many."""
    # OCSPRequest ::= SEQUENCE { tbsRequest, [0] optionalSignature }: a signature is of no use here (§4.1.2).
    outer = der.elements(der.content(request, der.SEQUENCE))
    fields = der.elements(der.content(outer[0] if outer else b"", der.SEQUENCE))
    # TBSRequest ::= SEQUENCE { [0] version, [1] requestorName, requestList SEQUENCE OF, [2] requestExtensions }
    lists = [field for field in fields if field[0] == der.SEQUENCE]
    extensions = [field for field in fields if field[0] == der.CONTEXT + 2]
    if len(lists) != 1 or len(extensions) > 1:
        raise PkiError("no OCSP request")
    singles = der.elements(der.content(lists[0], der.SEQUENCE))
    if not 0 < len(singles) <= SINGLES_MAX:
        raise PkiError(f"an OCSP request for {len(singles)} certificates")
    return [
        der.made(der.SEQUENCE, der.made(der.SEQUENCE, der.made(der.SEQUENCE, single), *extensions))
        for single in singles
    ]


def together(responses: Sequence[bytes], key: CertificateIssuerPrivateKeyTypes) -> bytes:
    """One response with what successful ones of one responder say; all else is that of the first."""
    # OCSPResponse ::= SEQUENCE { responseStatus, [0] SEQUENCE { responseType, response OCTET STRING } }
    status, wrapped = der.elements(der.content(responses[0], der.SEQUENCE))
    kind, _ = der.elements(der.content(der.content(wrapped, der.CONTEXT), der.SEQUENCE))
    basics = [_basic(response) for response in responses]
    fields = _response_data(basics[0])
    at = _responses_at(fields)
    singles = [der.content(data[_responses_at(data)], der.SEQUENCE) for data in map(_response_data, basics)]
    fields[at] = der.made(der.SEQUENCE, *singles)
    signed = der.made(der.SEQUENCE, *fields)
    # BasicOCSPResponse ::= SEQUENCE { tbsResponseData, signatureAlgorithm, signature BIT STRING, [0] certs }
    _, algorithm, _, *certificates = basics[0]
    signature = der.made(der.BIT_STRING, b"\0", _signature(key, signed))
    basic = der.made(der.SEQUENCE, signed, algorithm, signature, *certificates)
    body = der.made(der.SEQUENCE, kind, der.made(der.OCTET_STRING, basic))
    return der.made(der.SEQUENCE, status, der.made(der.CONTEXT, body))


def _basic(response: bytes) -> list[bytes]:
    _, wrapped = der.elements(der.content(response, der.SEQUENCE))
    _, octets = der.elements(der.content(der.content(wrapped, der.CONTEXT), der.SEQUENCE))
    return der.elements(der.content(der.content(octets, der.OCTET_STRING), der.SEQUENCE))


def _response_data(basic: list[bytes]) -> list[bytes]:
    """ResponseData ::= SEQUENCE { [0] version, responderID, producedAt, responses SEQUENCE OF, [1] extensions }"""
    return der.elements(der.content(basic[0], der.SEQUENCE))


def _responses_at(fields: list[bytes]) -> int:
    return next(at for at, field in enumerate(fields) if field[0] == der.SEQUENCE)


def _signature(key: CertificateIssuerPrivateKeyTypes, data: bytes) -> bytes:
    """As the library signs an answer with this key."""
    digest = keys.digest_for(key)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        assert digest is not None
        return key.sign(data, ec.ECDSA(digest))
    if isinstance(key, rsa.RSAPrivateKey):
        assert digest is not None
        return key.sign(data, padding.PKCS1v15(), digest)
    # EdDSA has a digest of its own; DSA is not accepted for keys here.
    return key.sign(data)  # type: ignore[call-arg]
