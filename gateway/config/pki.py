"""The PKI folder of a running gateway."""

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from gateway.config.section import Section
from gateway.config.tls import checked_source


class PkiSection(Section):
    """[pki]: a folder of `gateway pki` that this gateway looks after, or publishes."""

    dir: Path = Path("certs")
    """The folder."""
    renew_lists: bool = False
    """Are revocation lists made anew before they are due, of the authorities whose keys are in the folder?"""
    renew_within_h: int = Field(72, ge=1, le=8_760)
    """Hours before a list's end at which it is made anew; never more than half of its time."""
    passphrase: str = ""
    """`file:PATH` (first line) or `env:NAME`, for keys of authorities that are encrypted."""
    uri: str = ""
    """Where lists (`/intermediate-ca.crl`) are served, as http://HOST:PORT; empty is nowhere, port 0 takes a free one."""
    ocsp: bool = False
    """Is OCSP answered there, at `/ocsp`?  With the authority's key in the folder its responder is made, and made anew."""
    ocsp_valid_s: int = Field(3_600, ge=60, le=604_800)
    """Seconds for which an answer may be kept by who gets it."""

    @field_validator("passphrase")
    @classmethod
    def _a_source(cls, source: str) -> str:
        return checked_source(source)

    @field_validator("uri")
    @classmethod
    def _address(cls, uri: str) -> str:
        parts = urlsplit(uri)
        if uri and (
            parts.scheme != "http"
            or parts.port is None
            or parts.path.strip("/")
            or parts.query
            or not parts.hostname
        ):
            raise ValueError("must be http://HOST:PORT")
        return uri

    @property
    def host(self) -> str:
        """The address to listen on."""
        return urlsplit(self.uri).hostname or ""

    @property
    def port(self) -> int:
        """The port to listen on."""
        return urlsplit(self.uri).port or 0
