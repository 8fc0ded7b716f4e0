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


def host_allowed(host: str, allow_list: tuple[str, ...], on_loopback: bool) -> bool:
    """May we be asked under this name?  On loopback only under our own: a page whose name was made to lead here is of
    our origin in its browser's eyes, and sends no Origin with what it reads."""
    if not on_loopback or ANY in allow_list:
        return True
    asked = _parts("http://" + host)
    if asked is None:
        return False
    if is_loopback_name(asked[0]):
        return True
    for origin in allow_list:
        page = _parts(origin)
        if page is not None and page[0] == asked[0]:
            return True
    return False


def site_allowed(site: str | None, mode: str | None, only_looks: bool, on_loopback: bool) -> bool:
    """What a browser says of where a request without Origin comes from (Fetch Metadata); others say nothing.

    `only_looks`: it is for a page, to which a link may lead from anywhere.
    """
    if site is None or site in ("same-origin", "none") or (site == "same-site" and on_loopback):
        return True
    return only_looks and mode == "navigate"


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
