"""Destinations as STOMP spells them, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connectors.stomp.addresses import (
    Spelling,
    destination_of,
    destinations_of,
    source_of,
    sources_of,
    text_of,
)
from gateway.core.destination import QUEUE, TOPIC, Destination, InvalidName, check_name


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("/queue/a.b", QUEUE, "a.b"),
        ("/topic/a.b", TOPIC, "a.b"),
        ("bare", QUEUE, "bare"),
        ("/temp-queue/r", QUEUE, "mx.tmp.me.r"),
        ("/temp-topic/r", TOPIC, "mx.tmp.me.r"),
        ("/amq/queue/q", QUEUE, "q"),
        ("/reply-queue/mx.tmp.you.r", QUEUE, "mx.tmp.you.r"),
        ("/remote-temp-queue/x", QUEUE, "x"),
        ("/exchange/amq.topic/a.b", TOPIC, "a.b"),
        ("/exchange/amq%2etopic/a%25b", TOPIC, "a%b"),
        ("/queue/100%", QUEUE, "100%"),
    ],
)
def test_destinations(text: str, kind: int, name: str) -> None:
    assert destination_of(text, "me") == Destination(kind, name)


@pytest.mark.parametrize(
    "text",
    [
        "", "/queue/", "/topic/", "/temp-queue/", "/temp-topic/", "/nothing/x", "/exchange/e/k",
        "/exchange/amq.topic", "/topic/$SYS/x", "/exchange/amq.topic/$SYS", "/exchange/amq.topic/a%2",
        "/exchange/amq.topic/%ff",
    ],
)  # fmt: skip
def test_what_is_no_destination(text: str) -> None:
    with pytest.raises(InvalidName):
        destination_of(text, "me")


@given(st.sampled_from([QUEUE, TOPIC]), st.text(min_size=1, max_size=20), st.booleans(), st.booleans())
def test_every_name_comes_back(kind: int, name: str, own: bool, trims: bool) -> None:
    if any("\uf000" <= c <= "\uf07f" for c in name) or name.startswith("$SYS"):
        return
    try:
        check_name(name)
    except InvalidName:
        return
    destination = Destination(kind, f"mx.tmp.me.{name}" if own else name)
    text = text_of(destination, "me", trims)
    assert destinations_of(text, "me") == [destination]
    assert "," not in text


def test_percent_escapes_only_where_they_are_wanted() -> None:
    decoding = Spelling(percent_decode=True)
    for text in ("/queue/a%2Fb", "/amq/queue/a%2fb"):
        assert destination_of(text, "me", decoding).name == "a/b"
        assert destination_of(text, "me").name.lower() == "a%2fb"
    for text in ("/queue/a%", "/queue/a%2", "/queue/%zz", "/topic/%c3"):
        with pytest.raises(InvalidName):
            destination_of(text, "me", decoding)


@pytest.mark.parametrize(
    ("text", "kind", "queue", "pattern"),
    [
        ("/topic/a.*", TOPIC, "", "a.*"),
        ("/temp-topic/a", TOPIC, "", "mx.tmp.me.a"),
        ("/queue/a", QUEUE, "a", "a"),
        ("/queue/a.>", QUEUE, "", "a.>"),
        ("/queue/a*", QUEUE, "a*", "a*"),
        ("a.*", QUEUE, "a.*", "a.*"),
    ],
)
def test_sources(text: str, kind: int, queue: str, pattern: str) -> None:
    source = source_of(text, "me")
    assert (source.kind, source.queue, str(source.pattern)) == (kind, queue, pattern)


def test_several_sources_and_durable_ones() -> None:
    first, second = sources_of("/queue/a, /topic/b", "me")
    assert (first.queue, str(second.pattern)) == ("a", "b")
    assert str(source_of("/dsub/c/n/m", "me").durable_key) == "durable:1:c/n/m"
    for text in ("/dsub/c", "/dsub/c/", "/dsub//n", "/share/g", "/share//f"):
        with pytest.raises(InvalidName):
            source_of(text, "me")
