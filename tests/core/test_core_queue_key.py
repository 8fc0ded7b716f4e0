"""No two queues have one name, whatever clients call themselves and what they ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.queue_key import (
    BROWSE,
    DURABLE,
    NAMED,
    PRIVATE,
    SESSION,
    SHARED,
    BadKey,
    QueueKey,
    named,
    read_key,
)

PART = st.text("ab/:1.é\0", max_size=6)
KEY = st.one_of(
    st.builds(named, PART),
    st.builds(QueueKey, st.sampled_from((SESSION, DURABLE, SHARED, PRIVATE, BROWSE)), PART, PART),
)


def parts(key: QueueKey) -> tuple[str, str, str]:
    return key.kind, key.owner, key.name


@given(KEY, KEY)
def test_keys_with_different_parts_have_different_texts(one: QueueKey, other: QueueKey) -> None:
    assert (one.text == other.text) == (parts(one) == parts(other))


@given(KEY)
def test_a_text_is_read_as_the_key_that_wrote_it(key: QueueKey) -> None:
    assert parts(read_key(key.text)) == parts(key)


def test_a_slash_moves_nothing_from_one_client_to_another() -> None:
    assert QueueKey(DURABLE, "a", "b/c").text == "durable:1:a/b/c"
    assert QueueKey(DURABLE, "a/b", "c").text == "durable:3:a/b/c"
    assert QueueKey(NAMED, "", "durable:1:a/b").text == "queue:durable:1:a/b"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "queue",
        "sub:a/b",
        "share:g/t",
        "durable:a/b",
        "durable:1:ab",
        "durable:01:a/b",
        "durable:9:a/b",
        "durable:-1:a/b",
        "durable:²:a/b",
        "durable:" + "1" * 5_000 + ":a/b",
        "other:1:a/b",
    ],
)
def test_other_texts_are_no_keys(text: str) -> None:
    with pytest.raises(BadKey):
        read_key(text)
