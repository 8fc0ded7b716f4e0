"""Who may import whom.  The architecture is this table."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# The standard library without what waits, what talks to the outside, and what logs.
PURE = set(sys.stdlib_module_names) - {
    "asyncio",
    "http",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "socketserver",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib",
}
STDLIB = set(sys.stdlib_module_names)
COMPILED = {"mypy_extensions"}

# Room → (outside modules, own prefixes).  A connector's room is added to its own line below.
RULES: dict[str, tuple[set[str], tuple[str, ...]]] = {
    "protocols": (PURE, ("protocols.wire", "protocols.errors")),
    "gateway/core": (PURE | COMPILED, ("gateway.core",)),
    "gateway/connectors": (
        PURE | COMPILED,
        ("gateway.core", "gateway.connectors.base", "gateway.connectors.text"),
    ),
    "gateway/net": (STDLIB, ("gateway.net", "gateway.core", "gateway.connectors.base")),
    "gateway/store": (STDLIB, ("gateway.store", "gateway.core")),
    "gateway/security": (STDLIB, ("gateway.security", "gateway.core")),
    "gateway/admin": (STDLIB | {"h11"}, ("gateway.admin", "gateway.core")),
    "gateway/observe": (STDLIB, ("gateway.observe", "gateway.core")),
    "gateway/cli": (
        STDLIB | {"typer", "rich", "uvloop"},
        ("gateway.cli", "gateway.app", "gateway.config", "gateway.observe"),
    ),
    "gateway/config.py": (STDLIB | {"pydantic"}, ("gateway.connectors.base", "gateway.core.limits")),
    "gateway/app.py": (STDLIB, ("gateway",)),
    "gateway/__main__.py": (STDLIB, ("gateway.cli",)),
    "gateway/__init__.py": (STDLIB, ("gateway.core",)),
}


def _files() -> list[Path]:
    return sorted([*(ROOT / "protocols").rglob("*.py"), *(ROOT / "gateway").rglob("*.py")])


def _rule(path: Path) -> tuple[set[str], tuple[str, ...]]:
    """The longest room that the file lies in."""
    relative = path.relative_to(ROOT).as_posix()
    room = max([room for room in RULES if relative == room or relative.startswith(room + "/")], key=len)
    outside, own = RULES[room]
    parts = relative.split("/")
    if room == "protocols" and len(parts) > 2:
        own = (*own, f"protocols.{parts[1]}")
    if room == "gateway/connectors" and len(parts) > 3:
        own = (
            *own,
            f"gateway.connectors.{parts[2]}",
            f"protocols.{parts[2]}",
            "protocols.errors",
            "protocols.wire",
        )
    return outside, own


def _imports(path: Path) -> set[str]:
    """Every module a file imports, also for type checking only and inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
    return found


def _allowed(module: str, outside: set[str], own: tuple[str, ...]) -> bool:
    if any(module == prefix or module.startswith(prefix + ".") for prefix in own):
        return True
    if module in ("gateway", "protocols"):
        return True
    return module.split(".")[0] in outside


@pytest.mark.parametrize("path", _files(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    outside, own = _rule(path)
    forbidden = [module for module in _imports(path) if not _allowed(module, outside, own)]
    assert forbidden == []


def test_the_rule_can_fail() -> None:
    outside, own = RULES["gateway/core"]
    for module in ("asyncio", "time", "protocols.mqtt.codec", "gateway.connectors.base", "gateway.net.clock"):
        assert not _allowed(module, outside, own)
