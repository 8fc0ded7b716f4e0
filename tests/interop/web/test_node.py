"""Node's clients: mqtt.js, stompjs and a bare WebSocket, all through one port."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from web_peers import HERE, WebGateway

EXPECTED = {
    "mqtt": [["node/j", "from json é"], ["node/m", "from mqtt é"], ["node/s", "from stomp é"]],
    "stomp": [
        ["/topic/node.j", "from json é"],
        ["/topic/node.m", "from mqtt é"],
        ["/topic/node.s", "from stomp é"],
    ],
    "json": [
        ["topic:node.j", "from json é"],
        ["topic:node.m", "from mqtt é"],
        ["topic:node.s", "from stomp é"],
    ],
}


def exchange(modules: Path, *arguments: str) -> dict[str, list[list[str]]]:
    """What each of the clients has heard."""
    # Node looks for packages beside the script.
    script = modules.parent / "node_clients.mjs"
    shutil.copy(HERE / "node_clients.mjs", script)
    done = subprocess.run(["node", str(script), *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: sorted(messages) for name, messages in json.loads(done.stdout).items()}


def test_three_clients_hear_each_other(modules: Path, web: WebGateway) -> None:
    assert exchange(modules, web.url) == EXPECTED


@pytest.mark.parametrize(("scheme", "connector"), [("wss", "wss"), ("wss", "auto"), ("ws", "auto")])
def test_the_same_through_tls_and_where_the_first_bytes_decide(
    modules: Path, secure_web: WebGateway, tmp_path: Path, scheme: str, connector: str
) -> None:
    url = f"{scheme}://localhost:{secure_web.ports[connector]}/ws"
    assert exchange(modules, url, str(tmp_path / "certs" / "root-ca.crt")) == EXPECTED
