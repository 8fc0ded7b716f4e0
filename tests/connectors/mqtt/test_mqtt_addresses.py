"""Topic names and filters to canonical form and back (translation rule 9 to 11)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connectors.mqtt.addresses import destination_of, filter_of, topic_of
from gateway.connectors.sources import share_key
from gateway.core.destination import QUEUE, TOPIC, Destination, InvalidName
from gateway.core.pattern import MANY, ONE


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("a/b", "a.b"),
        ("sensors/192.168.0.1/t", "sensors.192/168/0/1.t"),
        ("/a//b/", ".a..b."),
        ("a\uf02bb", "a+b"),
        ("$x/y", "$x.y"),
        ("temp/é/🥕", "temp.é.🥕"),
    ],
)
def test_separators_change_places(topic: str, name: str) -> None:
    assert destination_of(topic) == Destination(TOPIC, name)
    assert topic_of(Destination(TOPIC, name)) == topic


def test_queue_names_are_flat() -> None:
    assert destination_of("$queue/jobs/1.x") == Destination(QUEUE, "jobs/1.x")
    assert topic_of(Destination(QUEUE, "jobs/1.x")) == "$queue/jobs/1.x"


@pytest.mark.parametrize("topic", ["$SYS/uptime", "$SYS", "$share/g/t", "$queue/", "a\uf000b"])
def test_nobody_may_publish_there(topic: str) -> None:
    with pytest.raises(InvalidName):
        destination_of(topic)


_names = st.text(
    st.characters(exclude_characters="+#\0", exclude_categories=["Cs", "Co", "Cc"]), min_size=1
).filter(lambda name: not name.startswith("$"))


@given(_names)
def test_every_topic_name_comes_back(topic: str) -> None:
    assert topic_of(destination_of(topic)) == topic


@given(st.text(st.characters(exclude_characters="\0/$", exclude_categories=["Cs", "Co"]), min_size=1))
def test_names_of_others_have_no_control_characters_in_mqtt_and_come_back(name: str) -> None:
    for destination in (Destination(TOPIC, name), Destination(QUEUE, name)):
        written = topic_of(destination)
        assert not any(ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0 or letter in "+#" for letter in written)
        assert destination_of(written) == destination


def test_wildcards_become_levels() -> None:
    assert filter_of("a/+/b.c/#").pattern.levels == ("a", ONE, "b/c", MANY)


def test_shared_subscription_has_a_group_and_a_key_of_its_own() -> None:
    filter = filter_of("$share/g/a/#")
    assert (filter.group, filter.queue, share_key(filter.group, filter.pattern).text) == (
        "g",
        "",
        "shared:1:g/a.>",
    )


@pytest.mark.parametrize("text", ["$queue/", "$queue/a+", "$queue/#", "$share/g/$queue/q"])
def test_queues_are_subscribed_to_by_their_whole_name(text: str) -> None:
    with pytest.raises(InvalidName):
        filter_of(text)
