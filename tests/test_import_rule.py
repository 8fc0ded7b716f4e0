"""Who may import whom.  A room that needs more than its line here allows is in the wrong place."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LINES_MAX = 650
"""Of a file: a longer one holds more than one concept."""

# What waits, knows the time, or talks to the operator: not for rooms that are told everything by their caller.
WORLDLY = {
    "asyncio", "concurrent", "contextvars", "http", "importlib", "io", "logging", "multiprocessing", "os", "pathlib",
    "queue", "random", "sched", "select", "selectors", "shutil", "signal", "socket", "socketserver", "sqlite3", "ssl",
    "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip
# mypy_extensions tells mypyc how to compile, and does nothing otherwise.
PURE = {f"std:{name}" for name in sys.stdlib_module_names - WORLDLY} | {"ext:mypy_extensions"}
ANY = {f"std:{name}" for name in sys.stdlib_module_names}

# What connectors have in common: the base, and the translation that is the same for all.
SHARED = {
    f"gateway.connectors.{name}"
    for name in (
        "base",
        "bodies",
        "bound",
        "deaths",
        "ending",
        "envelope",
        "hearing",
        "ids",
        "json_bodies",
        "long_bodies",
        "long_json",
        "owners",
        "parts",
        "reading",
        "replay",
        "scheduling",
        "service",
        "shared",
        "side",
        "sources",
        "text",
        "typed_json",
    )
}

# Room (the longest that fits a module rules it) → modules and packages that it may import beside its own.
# `std:X` is a module of the standard library, `ext:X` one of another distribution.
RULES: dict[str, set[str]] = {
    "protocols": PURE,
    # BytesIO, which is memory.
    "protocols.pieces": PURE | {"std:io"},
    "protocols.mqtt": PURE | {"protocols.wire", "protocols.errors", "protocols.pieces"},
    "protocols.stomp": PURE | {"protocols.wire", "protocols.errors", "protocols.pieces"},
    # librt is what mypyc's primitives are; the handshake and the quickest unmasking of long frames are the package's.
    "protocols.websocket": PURE | {"protocols.errors", "protocols.pieces", "ext:librt", "ext:websockets"},
    "protocols.gatewayjson": PURE | {"protocols.errors", "protocols.pieces", "protocols.json_writing"},
    # urllib.parse, which only takes strings apart.
    "protocols.http": PURE | {"protocols.errors", "protocols.pieces", "ext:h11", "std:urllib"},
    "gateway.core": PURE,
    "gateway.connectors": PURE | {"gateway.core", "protocols.json_writing"},
    "gateway.connectors.long_json": PURE
    | {"gateway.core", "protocols.json_writing", "protocols.gatewayjson"}
    | {f"gateway.connectors.{name}" for name in ("envelope", "json_bodies", "long_bodies")},
    "gateway.connectors.carriage": PURE
    | {"gateway.core", "gateway.connectors.service", "protocols.websocket"},
    "gateway.connectors.websocket": PURE
    | SHARED
    | {"protocols.gatewayjson", "protocols.json_writing", "gateway.core"},
    "gateway.connectors.http": PURE
    | SHARED
    | {"protocols.http", "protocols.websocket", "protocols.gatewayjson", "gateway.core", "std:urllib"}
    | {"gateway.connectors.carriage", "gateway.connectors.websocket.addresses"}
    | {"gateway.connectors.websocket.messages", "gateway.connectors.websocket.long_messages"},
    "gateway.connectors.mqtt": PURE | SHARED | {"protocols.mqtt", "protocols.wire", "gateway.core"},
    "gateway.connectors.stomp": PURE | SHARED | {"protocols.stomp", "gateway.core"},
    "gateway.net": ANY
    | {
        "ext:cryptography",
        "gateway.connectors.base",
        "gateway.connectors.carriage",
        "gateway.connectors.parts",
        "gateway.connectors.service",
        "gateway.core.ports",
        "gateway.core.timetable",
    }
    # What the other side will think of a certificate.
    | {"gateway.core.router", "protocols.websocket", "gateway.pki.chain", "gateway.pki.fitness"},
    "gateway.manual": PURE,
    "gateway.web": PURE,
    "gateway.store": ANY | {"gateway.core"},
    "gateway.pki": ANY | {"ext:cryptography"},
    "gateway.security": ANY | {"ext:argon2", "gateway.core"},
    "gateway.admin": ANY | {"ext:h11", "gateway.connectors.http.origins"},
    "gateway.admin.revocations": ANY
    | {"ext:h11", "ext:cryptography", "gateway.admin.endpoint", "gateway.pki"},
    "gateway.keeping": ANY | {"gateway.admin.revocations", "gateway.config", "gateway.pki"},
    "gateway.observe": ANY,
    "gateway.config": ANY
    | {"ext:pydantic", "gateway.connectors.base", "gateway.connectors.side"}
    | {"gateway.core.destination", "gateway.core.limits", "gateway.core.virtual", "gateway.security"},
    "gateway.cli": ANY
    | {"ext:typer", "ext:rich", "ext:uvloop", "gateway", "gateway.app", "gateway.config", "gateway.observe"}
    | {"gateway.running"}
    | {"ext:cryptography", "gateway.pki", "gateway.security", "gateway.store"},
    "gateway.app": ANY
    | {"gateway", "gateway.admin", "gateway.config", "gateway.connectors", "gateway.core", "gateway.net"}
    | {"gateway.observe", "gateway.security", "gateway.store", "gateway.storing"}
    | {"gateway.reloading", "gateway.keeping"},
    "gateway.reloading": ANY
    | {
        "ext:pydantic",
        "gateway.config",
        "gateway.connectors",
        "gateway.core",
        "gateway.keeping",
        "gateway.net",
        "gateway.security",
    },
    "gateway.running": ANY
    | {"gateway.app", "gateway.config", "gateway.net.memory", "gateway.store", "gateway.storing"},
    "gateway.storing": ANY | {"gateway.config", "gateway.connectors", "gateway.core", "gateway.store"},
    "gateway.__main__": ANY | {"gateway.cli"},
    "gateway": {"gateway.core"},
}

# Packages whose very names say that only the composition root may know them.
EXACT = {"gateway"}


def _modules() -> dict[str, Path]:
    """Every module of the two top packages, by name."""
    found: dict[str, Path] = {}
    for top in ("protocols", "gateway"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = list(path.relative_to(ROOT).with_suffix("").parts)
            if parts[-1] == "__init__":
                parts.pop()
            found[".".join(parts)] = path
    return found


MODULES = _modules()


def _imports(name: str, source: str) -> Iterator[str]:
    """Modules that `source` imports, wherever in it, in full; for TYPE_CHECKING only counts too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            module = node.module or ""
            for alias in node.names:
                deeper = f"{module}.{alias.name}"
                yield deeper if deeper in MODULES else module


def _within(module: str, package: str) -> bool:
    if package in EXACT:
        return module == package
    return module == package or module.startswith(package + ".")


def _room(name: str) -> str:
    """The longest entry of RULES that `name` lies in."""
    return max([room for room in RULES if name == room or name.startswith(room + ".")], key=len)


def _forbidden(name: str, source: str) -> list[str]:
    """What `source`, as the module `name`, imports against the rules."""
    room = _room(name)
    wrong = []
    for module in _imports(name, source):
        top = module.split(".")[0]
        if top in ("gateway", "protocols"):
            own = room not in EXACT and _within(module, room) and _room(module) == room
            allowed = own or any(_within(module, package) for package in RULES[room] if ":" not in package)
        else:
            kind = "std" if top in sys.stdlib_module_names else "ext"
            allowed = f"{kind}:{top}" in RULES[room]
        if not allowed:
            wrong.append(module)
    return wrong


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_only_what_its_room_may(name: str) -> None:
    assert _forbidden(name, MODULES[name].read_text(encoding="utf-8")) == []


def test_nothing_but_the_process_and_the_command_line_imports_app() -> None:
    importers = {
        name
        for name, path in MODULES.items()
        for module in _imports(name, path.read_text(encoding="utf-8"))
        if module == "gateway.app"
    }
    assert {name for name in importers if not name.startswith("gateway.cli.")} == {"gateway.running"}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("protocols.mqtt.codec", "import gateway.core.message"),
        ("protocols.mqtt.codec", "from protocols.stomp import codec"),
        ("protocols.mqtt.codec", "import time"),
        ("protocols.stomp.codec", "from asyncio import sleep"),
        ("gateway.core.router", "from protocols import wire"),
        ("gateway.core.router", "import gateway.connectors.base"),
        ("gateway.core.router", "def f():\n    import logging"),
        ("gateway.core.router", "import pydantic"),
        ("gateway.connectors.base", "from gateway.connectors.mqtt.session import MqttSession"),
        ("gateway.connectors.mqtt.session", "from gateway.connectors.stomp.service import StompService"),
        ("gateway.connectors.mqtt.session", "import protocols.stomp.codec"),
        ("gateway.connectors.mqtt.session", "from gateway.net.clock import Clock"),
        ("gateway.connectors.websocket.connector", "import protocols.websocket.connection"),
        (
            "gateway.connectors.http.connector",
            "from gateway.connectors.websocket.service import JsonService",
        ),
        ("protocols.websocket.reader", "import h11"),
        ("gateway.net.transport", "from gateway.connectors.mqtt.service import MqttService"),
        ("gateway.net.transport", "from gateway.core.queue import Queue"),
        ("gateway.net.transport", "from gateway.config import Config"),
        ("gateway.store.memory", "from gateway.security.guard import Guard"),
        ("gateway.admin.server", "from gateway.net.listener import Listener"),
        ("gateway.admin.server", "import gateway.app"),
        ("gateway.cli.status", "from gateway.core.router import Broker"),
        ("gateway.app", "import protocols.mqtt.codec"),
    ],
)
def test_the_rule_itself_sees(name: str, source: str) -> None:
    assert _forbidden(name, source) != []


def test_no_file_grows_beyond_what_one_concept_needs() -> None:
    files = [*MODULES.values(), *(ROOT / "tests").rglob("*.py")]
    lines = {str(path): path.read_text(encoding="utf-8").count("\n") for path in files}
    assert {name: count for name, count in lines.items() if count > LINES_MAX} == {}


def test_what_has_a_length_says_itself_whether_it_is_empty() -> None:
    """Compiled, `if x` of an optional object asks `__bool__` alone: with `__len__` only, an empty one counts as true."""
    lengths = 0
    for room in ("protocols", "gateway/core", "gateway/connectors"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    names = {inner.name for inner in node.body if isinstance(inner, ast.FunctionDef)}
                    lengths += "__len__" in names
                    assert "__len__" not in names or "__bool__" in names, f"{path}: {node.name}"
    assert lengths


def _asked_again(function: ast.AST) -> list[str]:
    """Attributes of `self` that a function empties, and then asks about behind a call that may have filled them."""
    nodes = [node for node in ast.walk(function) if isinstance(node, (ast.Assign, ast.Call, ast.Compare))]
    emptied: dict[str, bool] = {}
    found: list[str] = []
    for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset)):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if ast.unparse(target).startswith("self."):
                    emptied.pop(ast.unparse(target), None)
                    if isinstance(node.value, ast.Constant) and node.value.value is None:
                        emptied[ast.unparse(target)] = False
        elif isinstance(node, ast.Call):
            emptied = dict.fromkeys(emptied, True)
        elif isinstance(node.ops[0], (ast.Is, ast.IsNot)) and emptied.get(ast.unparse(node.left)):
            found.append(ast.unparse(node))
    return found


def test_what_a_call_may_have_filled_is_not_asked_about_as_if_it_were_empty() -> None:
    """mypy takes an attribute that was set to None for None until the end of the function, calls or not; compiled,
    `is None` behind a call then fails with a TypeError."""
    assert _asked_again(ast.parse("self.x = None\nself.f()\nif self.x is None: pass")) != []
    assert _asked_again(ast.parse("self.f()\nself.x = None\nif self.x is None: pass")) == []
    for room in ("protocols", "gateway/core", "gateway/connectors"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef):
                    assert _asked_again(node) == [], f"{path}: {node.name}"
