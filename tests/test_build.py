"""setup.py: what is compiled how."""

import runpy
from pathlib import Path
from typing import Any

import pytest
import setuptools

ROOT = Path(__file__).parents[1]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(setuptools, "setup", lambda **_: None)
    monkeypatch.setattr("sys.argv", ["setup.py", "egg_info"])
    monkeypatch.chdir(ROOT)
    return runpy.run_path("setup.py")


def test_what_counts_as_rare_is_there(script: dict[str, Any]) -> None:
    modules = [Path(path).with_suffix("") for path in script["compiled_modules"]()]

    assert script["RARE"] <= {module.name for module in modules}
    for room in script["RARE_ROOMS"]:
        assert Path(room.replace(".", "/")) in {module.parent for module in modules}


@pytest.mark.parametrize(
    ("source", "rare"),
    [
        ("build/__native_gateway___core___router.c", False),
        ("build/__native_protocols___mqtt___codec.c", False),
        ("build/__native_gateway___connectors___mqtt___settings.c", True),
        ("build/__native_gateway___connectors___http___publish.c", True),
        # The unit's own: literals, and what is done at the start.
        ("build/__native_8195b79feab9942fe334.c", True),
        # mypyc's library, and a small extension of a module.
        ("build/bytes_ops.c", False),
        ("build/gateway/core/limits.c", False),
    ],
)
def test_only_what_no_message_passes_is_compiled_quickly(
    script: dict[str, Any], source: str, rare: bool
) -> None:
    assert script["is_rare"](source) == rare
