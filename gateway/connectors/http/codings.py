"""Content codings (RFC 9110 §8.4.1): a body that is packed travels packed, and every reader is told so."""

from typing import Final

from gateway.connectors.http.requests import HttpRefusal
from protocols.http.frames import Request

CODINGS: Final = ("gzip", "deflate", "br", "zstd", "compress", "x-gzip", "x-compress")
"""What clients know by Content-Encoding (the registry of RFC 9110 §16.6.1, and its old names)."""

IDENTITY: Final = "identity"


def coding_of(request: Request) -> str | None:
    """How the body that came is packed, the last coding outermost; None for not at all.  Raises HttpRefusal."""
    found = _codings(",".join(request.all("content-encoding")))
    for coding in found:
        if coding not in CODINGS:
            # Whoever reads it would not know what it is.
            raise HttpRefusal(415, f"unknown Content-Encoding {coding[:40]}", (_accepts(*CODINGS),))
    return ", ".join(found) or None


def needs_plain(request: Request) -> None:
    """Raise HttpRefusal when the body is packed: it is to be understood here, and nothing is unpacked here."""
    if coding_of(request) is not None:
        raise HttpRefusal(415, "envelopes come without Content-Encoding", (_accepts(IDENTITY),))


def header_of(content_encoding: str | None) -> str | None:
    """What a message says of its coding, as the header that makes readers unpack it; None where HTTP has no such word."""
    found = _codings(content_encoding or "")
    return ", ".join(found) if found and not [coding for coding in found if coding not in CODINGS] else None


def _codings(text: str) -> list[str]:
    codings = [part.strip(" \t").lower() for part in text.split(",")]
    return [coding for coding in codings if coding and coding != IDENTITY]


def _accepts(*codings: str) -> tuple[str, str]:
    """RFC 9110 §12.5.3: with 415, what would have been taken."""
    return ("Accept-Encoding", ", ".join(codings))
