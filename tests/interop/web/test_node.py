"""Node's clients: mqtt.js, stompjs and a bare WebSocket, all through one port."""

import json
import shutil
import subprocess
from pathlib import Path

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


def test_three_clients_hear_each_other(modules: Path, web: WebGateway) -> None:
    # Node looks for packages beside the script.
    script = modules.parent / "node_clients.mjs"
    shutil.copy(HERE / "node_clients.mjs", script)
    done = subprocess.run(["node", str(script), web.url], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert {name: sorted(messages) for name, messages in found.items()} == EXPECTED
