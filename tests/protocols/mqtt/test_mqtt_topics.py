"""Topic names and filters (§4.7, §4.8.2)."""

import pytest

from protocols.mqtt.errors import MqttError
from protocols.mqtt.topics import check_topic_name, filter_error


@pytest.mark.parametrize("name", ["a", "/", "a//b", " ", "$SYS/x", "é/🥕", "a" * 65_535])
def test_topic_names(name: str) -> None:
    assert check_topic_name(name.encode()) == name


@pytest.mark.parametrize("raw", [b"", b"a/+", b"#", b"a\0b", b"\xed\xa0\x80", b"\xff"])
def test_no_topic_names(raw: bytes) -> None:
    with pytest.raises(MqttError):
        check_topic_name(raw)


@pytest.mark.parametrize("text", ["a", "#", "+", "+/+", "a/#", "/", "a//+", "$share/g/a/#", "$SYS/#"])
def test_topic_filters(text: str) -> None:
    assert filter_error(text) == ""


@pytest.mark.parametrize(
    "text",
    ["", "a#", "#/a", "a/#/b", "a+", "+a/b", "$share/g", "$share//a", "$share/g/", "$share/+/a"],
)
def test_no_topic_filters(text: str) -> None:
    assert filter_error(text) != ""
