"""STOMP frames as short text, for transcripts: `write` reads the text of a client, `parse` what a server sent.

    SEND destination:/queue/q receipt:1 'note:two words' body:the rest is the body
    MESSAGE destination:/topic/a.b subscription:1 !redelivered body:hi

Expected text names the headers that matter, `!name` one that must be absent, and the body if it matters.
"""

import shlex
from typing import Final

from protocols.stomp.headers import decode_header, encode_header

QUOTING: Final = frozenset("'\"\\")


class StompFrame:
    """A frame of a server."""

    def __init__(self, command: str, headers: list[tuple[str, str]], body: str) -> None:
        self.command = command
        self.headers = headers
        self.body = body

    def get(self, name: str) -> str | None:
        """The first header of that name."""
        for given, value in self.headers:
            if given == name:
                return value
        return None

    def __str__(self) -> str:
        words = [f"{name}:{value}" for name, value in self.headers]
        return " ".join([self.command, *words, *([f"body:{self.body}"] if self.body else [])])

    def fits(self, expected: str) -> bool:
        """Is it what `expected` says?"""
        command, headers, body = split(expected)
        if command != self.command or (body is not None and body != self.body):
            return False
        for word in headers:
            if word.startswith("!"):
                if self.get(word[1:]) is not None:
                    return False
            else:
                name, _, value = word.partition(":")
                if self.get(name) != value:
                    return False
        return True


def split(text: str) -> tuple[str, list[str], str | None]:
    """Command, header words, and the body when the text names one."""
    command, _, rest = text.partition(" ")
    body: str | None = None
    if rest.startswith("body:"):
        rest, body = "", rest[5:]
    elif " body:" in rest:
        rest, _, body = rest.partition(" body:")
    return command, words_of(rest), body


def words_of(text: str) -> list[str]:
    """As a shell would have them, which takes long, where there is anything to it."""
    return text.split() if QUOTING.isdisjoint(text) else shlex.split(text)


def write(text: str, version: str) -> bytes:
    """The bytes of the frame that `text` stands for."""
    command, headers, body = split(text)
    lines = [command.encode()]
    for word in headers:
        name, _, value = word.partition(":")
        lines.append(encode_header(name, value, "" if command in ("CONNECT", "STOMP") else version))
    return b"\n".join(lines) + b"\n\n" + (body or "").encode() + b"\0"


def parse(data: bytes, version: str) -> tuple[StompFrame | None, int]:
    """The frame at the start of `data` and where it ends; None and 0 while it is not whole.  EOLs are skipped."""
    start = 0
    while data[start : start + 1] == b"\n":
        start += 1
    end = data.find(b"\n\n", start)
    if end < 0:
        return None, start
    command, *lines = data[start:end].split(b"\n")
    plain = command == b"CONNECTED"
    headers = [decode_header(line, "" if plain else version) for line in lines]
    frame = StompFrame(command.decode(), headers, "")
    length = frame.get("content-length")
    stop = data.find(b"\0", end) if length is None else end + 2 + int(length)
    if stop < 0 or stop >= len(data):
        return None, start
    assert data[stop] == 0, data
    frame.body = data[end + 2 : stop].decode("utf-8", "backslashreplace")
    return frame, stop + 1
