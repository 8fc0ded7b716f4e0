"""Requests and responses as records."""

from dataclasses import dataclass
from typing import final
from urllib.parse import parse_qsl, unquote_to_bytes


@final
@dataclass(init=False, slots=True)
class Request:
    """A whole request."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    """Names in lower case."""
    body: bytes

    def __init__(self, method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.method = method
        self.target = _origin_form(target)
        self.headers = headers
        self.body = body

    def header(self, name: str) -> str | None:
        """The value of the header `name` (in lower case); of repeated ones the first."""
        for known, value in self.headers:
            if known == name:
                return value
        return None

    def all(self, name: str) -> list[str]:
        """The values of all headers `name` (in lower case), in their order."""
        return [value for known, value in self.headers if known == name]

    def path(self) -> str:
        """What stands before `?`, as it came."""
        return self.target.partition("?")[0]

    def segments(self) -> list[str] | None:
        """The decoded parts of the path between slashes; None when they are not UTF-8."""
        parts: list[str] = []
        for part in self.path().strip("/").split("/"):
            try:
                parts.append(unquote_to_bytes(part).decode())
            except UnicodeDecodeError:
                return None
        return parts

    def query(self) -> list[tuple[str, str]]:
        """The parameters behind `?`."""
        try:
            return parse_qsl(self.target.partition("?")[2], keep_blank_values=True, max_num_fields=100)
        except ValueError:
            return []

    def parameter(self, name: str) -> str | None:
        """The first parameter `name`."""
        for known, value in self.query():
            if known == name:
                return value
        return None

    def wants_upgrade(self) -> bool:
        """Does it ask for WebSocket (RFC 9110 §7.8)?"""
        upgrade = self.header("upgrade")
        return upgrade is not None and "websocket" in upgrade.lower()


def _origin_form(target: str) -> str:
    """The path and query of a target that is a whole URI, which servers must take (RFC 9112 §3.2.2)."""
    scheme, colon, rest = target.partition("://")
    if not colon or scheme.lower() not in ("http", "https"):
        return target
    for at in range(len(rest)):
        if rest[at] == "/":
            return rest[at:]
        if rest[at] == "?":
            return "/" + rest[at:]
    return "/"


@final
@dataclass(init=False, slots=True)
class RequestBegun:
    """The head of a request whose body is larger than anybody may send: `accept_body` or a response is awaited."""

    head: Request
    """Without its body."""

    def __init__(self, head: Request) -> None:
        self.head = head


@final
@dataclass(init=False, slots=True)
class RequestFailed:
    """The peer broke HTTP or a limit: answer with `status`, then close."""

    status: int
    reason: str

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason


Event = Request | RequestBegun | RequestFailed
