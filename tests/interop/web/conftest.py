"""Chromium, Node's packages, a gateway, and a site whose pages use it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright
from tls_gateway import make_folder
from web_peers import HERE, TLS, Pages, WebGateway


def missing(what: str) -> None:
    """A peer is not there: in continuous integration that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def modules() -> Path:
    """mqtt.js, stompjs and ws, as `make peers` has installed them."""
    if not shutil.which("node"):
        missing("node is not installed (Debian: nodejs npm)")
    for parent in HERE.parents:
        found = parent / "build" / "node" / "node_modules"
        if all((found / name).is_dir() for name in ("mqtt", "@stomp/stompjs", "ws")):
            return found
    missing("mqtt.js, stompjs and ws are not installed (make peers)")
    raise AssertionError


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebGateway]:
    """A gateway with all its doors, on free ports."""
    gateway = WebGateway(tmp_path)
    yield gateway
    gateway.stop()
    assert "internal error" not in gateway.errors


@pytest.fixture
def secure_web(tmp_path: Path) -> Iterator[WebGateway]:
    """One that has its doors in TLS too; what clients trust is certs/root-ca.crt."""
    leaf = make_folder(tmp_path / "certs").leaf("broker")
    gateway = WebGateway(tmp_path, TLS.format(leaf=leaf))
    yield gateway
    gateway.stop()
    assert "internal error" not in gateway.errors


@pytest.fixture(scope="session")
def pages(modules: Path) -> Iterator[Pages]:
    """A site with pages that use the libraries."""
    server = Pages(modules)
    yield server
    server.close()


# For one module only: as long as it is there, Playwright's event loop runs, and no test could have one of its own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium without a screen.  evil.example leads to this machine, as it would for a rebound name."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        missing("Chromium is not installed (Debian: chromium)")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=executable,
            args=["--no-sandbox", "--host-resolver-rules=MAP evil.example 127.0.0.1"],
        )
        yield found
        found.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A tab; errors of scripts fail the test."""
    context = browser.new_context(viewport={"width": 1100, "height": 1050})
    tab = context.new_page()
    tab.set_default_timeout(20_000)
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    context.close()
    assert errors == []
