"""The opening handshake (RFC 6455 §4.2): what is refused, and how."""

import pytest

from protocols.websocket.handshake import Handshake

KEY = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
]


@pytest.mark.parametrize("version", ["8", "14", "13, 8", None])
def test_6455_4_4_a_refusal_names_the_version_that_is_spoken(version: str | None) -> None:
    headers = KEY if version is None else [*KEY, ("sec-websocket-version", version)]
    done = Handshake("/", headers, (), False, 12, 1_000)
    assert done.status == 426
    assert ("Sec-WebSocket-Version", "13") in done.headers
    assert ("Upgrade", "websocket") in done.headers


def test_other_refusals_keep_their_status() -> None:
    done = Handshake("/", [*KEY[:2], ("sec-websocket-version", "13")], (), False, 12, 1_000)
    assert done.status == 400
    assert Handshake("/", [*KEY, ("sec-websocket-version", "13")], (), False, 12, 1_000).status == 101
