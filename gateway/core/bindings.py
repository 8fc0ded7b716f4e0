"""What a queue is bound to, as the store keeps it: for subscriptions that no connector remembers on its own."""

import json
from typing import Any, Final

from gateway.core.flow import Publisher
from gateway.core.pattern import Pattern
from gateway.core.selector_parser import parse_selector
from gateway.core.subscription import Binding, Sink

DEPTH_MAX: Final = 1_024


def stored_bindings(bindings: list[Binding]) -> bytes:
    """The bindings of one queue; empty for none."""
    if not bindings:
        return b""
    rows: list[list[Any]] = []
    for binding in bindings:
        no_local = None if binding.no_local is None else binding.no_local.id
        owner = None
        if binding.owner is not None:
            owner = [binding.owner.id, binding.owner.user, binding.owner.client_id]
        selector = None if binding.selector is None else [binding.selector.text, binding.selector.converts]
        rows.append([list(binding.pattern.levels), no_local, owner, selector])
    return json.dumps(rows).encode()


def restored_bindings(note: bytes, sink: Sink) -> list[Binding]:
    """The bindings that `stored_bindings` was given, for the queue `sink`."""
    if not note:
        return []
    found: list[Binding] = []
    for levels, no_local, owner, selector in json.loads(note):
        binding = Binding(Pattern(tuple(levels)), sink)
        if owner is not None:
            binding.owner = Publisher(owner[0], None)
            binding.owner.user = owner[1]
            # Earlier versions did not note it.
            binding.owner.client_id = owner[2] if len(owner) > 2 else ""
        if no_local is not None:
            # What has an owner means its owner's; the client's next connection goes on with it (`sources.give_to`).
            binding.no_local = Publisher(no_local, None) if binding.owner is None else binding.owner
        if selector is not None:
            # It was within the limits when it was made.
            binding.selector = parse_selector(selector[0], len(selector[0]), DEPTH_MAX, selector[1])
        found.append(binding)
    return found
