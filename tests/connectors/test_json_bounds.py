"""JSON within JSON, in headers and in bodies of other protocols: none is looked into that would hold everybody up."""

import json
from typing import Any

import pytest

from gateway.connectors.bodies import restore_body
from gateway.connectors.envelope import PROPERTIES_MAX, InvalidEnvelope, envelope_from
from gateway.connectors.typed_json import TEXT_MAX, VALUES_MAX, load
from gateway.core.message import LIST, Fields


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what Python's parser is given."""
    sizes: list[int] = []
    loads = json.loads

    def counted(text: str | bytes, **more: Any) -> Any:
        sizes.append(len(text))
        return loads(text, **more)

    monkeypatch.setattr(json, "loads", counted)
    return sizes


@pytest.mark.parametrize(
    "text",
    [
        "[" + "1," * VALUES_MAX + "1]",
        "[" * (VALUES_MAX + 1),
        "[" + "{}," * (VALUES_MAX // 2) + "{}]",
        '["' + "x" * TEXT_MAX + '"]',
    ],
    ids=["values", "nested", "objects", "bytes"],
)
def test_a_body_that_is_too_large_to_be_looked_into_stays_what_its_bytes_are(
    text: str, parsed: list[int]
) -> None:
    fields = Fields()
    before = fields.body_kind
    assert not restore_body(fields, "list", "", text.encode(), False, False)
    assert fields.body_kind == before
    with pytest.raises(ValueError, match="too large"):
        load(text, "")
    assert parsed == []


def test_a_large_one_below_the_bound_is_a_list() -> None:
    fields = Fields()
    data = b"[" + b"1," * (VALUES_MAX - 2) + b"1]"
    assert restore_body(fields, "list", "", data, False, False)
    assert fields.body_kind == LIST


def test_the_exact_text_of_a_body_is_looked_into_only_if_it_could_be_that(parsed: list[int]) -> None:
    def body(text: str) -> bytes:
        return envelope_from({"to": "queue:q", "body": [1, {"a": "x,y"}], "ext": {"text": text}}).body

    exact = '[ 1, {"a": "x,y"} ]'
    assert body(exact) == exact.encode()
    assert parsed == [len(exact)]
    assert body("[" + "1," * 1_000_000 + "1]") == b'[1,{"a":"x,y"}]'
    assert body("[" * 1_000_000) == b'[1,{"a":"x,y"}]'
    assert len(parsed) == 1


@pytest.mark.parametrize("name", ["properties", "annotations", "uprops"])
def test_a_message_has_no_more_properties_than_others_can_be_given_one_by_one(name: str) -> None:
    def read(count: int) -> None:
        members: dict[str, object] = {f"k{number}": 1 for number in range(count)}
        if name == "uprops":
            envelope_from({"to": "queue:q", "ext": {"uprops": [list(pair) for pair in members.items()]}})
        else:
            envelope_from({"to": "queue:q", name: members})

    read(PROPERTIES_MAX)
    with pytest.raises(InvalidEnvelope, match=f"{PROPERTIES_MAX} members"):
        read(PROPERTIES_MAX + 1)
