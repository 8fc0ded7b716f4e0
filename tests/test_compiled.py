"""Which code is under test: the source tree as it is, or a wheel whose hot rooms are compiled."""

import os
from pathlib import Path

import gateway
import gateway.connectors.base
import gateway.core.router
import protocols.wire

HOT = (gateway.core.router, gateway.connectors.base, protocols.wire)


def test_what_was_expected_is_what_runs() -> None:
    compiled = [module.__file__.endswith((".so", ".pyd")) for module in HOT if module.__file__]
    expected = os.environ.get("GATEWAY_EXPECT", "plain") == "compiled"
    assert compiled == [expected] * len(HOT)


def test_no_extension_lies_in_the_source_tree() -> None:
    root = Path(__file__).parent.parent
    stray = [path for room in ("gateway", "protocols") for path in (root / room).rglob("*.so")]
    assert stray == []


def test_compiled_run_does_not_import_the_source_tree() -> None:
    if os.environ.get("GATEWAY_EXPECT") == "compiled":
        assert gateway.__file__ is not None
        assert "site-packages" in gateway.__file__
