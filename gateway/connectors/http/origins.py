"""Whose pages may talk to the gateway: a browser sends along where a page came from, and its user's access."""

import re
from typing import Final
from urllib.parse import urlsplit

ANY: Final = "*"

_IN_127: Final = re.compile(r"127\.\d+\.\d+\.\d+").fullmatch


def is_loopback_name(host: str) -> bool:
    """Does a host's name stand for this machine only?"""
    host = host.lower()
    return host == "localhost" or host.endswith(".localhost") or host == "::1" or _IN_127(host) is not None


def allowed(origin: str, host: str, allow_list: tuple[str, ...], on_loopback: bool) -> bool:
    """May a page of `origin` come to us under the name `host` (the Host header)?

    Without a list: pages of this machine, and those of the very host that it asked for.  A listener on loopback takes
    only names of loopback for its own: a foreign name that leads here is somebody's trick (DNS rebinding).
    """
    if allow_list:
        return ANY in allow_list or origin in allow_list
    page = _parts(origin)
    if page is None:
        return False
    asked = _parts(f"{origin.partition(':')[0]}://{host}")
    if asked is None or (on_loopback and not is_loopback_name(asked[0])):
        return False
    return is_loopback_name(page[0]) or page == asked


def _parts(url: str) -> tuple[str, int] | None:
    """Host and port."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.scheme not in ("http", "https"):
        return None
    return parts.hostname, port if port is not None else (443 if parts.scheme == "https" else 80)
