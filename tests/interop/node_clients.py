"""Clients in JavaScript (mqtt.js, stompit), in one Node process that is told what to do line by line."""

import base64
import json
import os
import queue
import shutil
import subprocess
import threading
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from clients import TIMEOUT_S, Inbox

DRIVER = Path(__file__).parent / "node" / "driver.js"


def missing() -> str:
    """What is not there; empty when the clients can run."""
    if shutil.which("node") is None:
        return "node is not installed (Debian: nodejs npm)"
    if _modules() is None:
        return "mqtt.js is not installed (make peers)"
    return ""


def _modules() -> Path | None:
    """Where `make peers` has installed them: in the source tree's build/, also for a copy of the tests in there."""
    candidates = [parent / "build" / "node" / "node_modules" for parent in Path(__file__).parents]
    return next((path for path in candidates if (path / "mqtt").is_dir()), None)


class NodeError(Exception):
    """The client reported an error."""

    def __init__(self, text: str, code: object) -> None:
        super().__init__(text)
        self.code = code
        """Return or reason code, if there was one."""


class Node:
    """The process that all clients of a test run live in."""

    def __init__(self) -> None:
        modules = _modules()
        assert modules is not None
        self._process = subprocess.Popen(
            ["node", str(DRIVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "NODE_PATH": str(modules)},
        )
        self._answers: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._listeners: dict[str, Any] = {}
        self._next = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            record = json.loads(line)
            if "id" in record:
                self._answers[record["id"]].put(record)
            else:
                self._listeners[record["client"]](record)

    def listen(self, client: str, listener: Any) -> None:
        """`listener` gets what comes to `client` by itself."""
        self._listeners[client] = listener

    def call(self, client: str, do: str, **arguments: object) -> Any:
        """Have it done and wait until it is.  Raises NodeError, or queue.Empty when nothing is answered."""
        self._next += 1
        answer = self._answers[self._next] = queue.Queue()
        assert self._process.stdin is not None
        self._process.stdin.write(
            json.dumps({"id": self._next, "client": client, "do": do, **arguments}) + "\n"
        )
        self._process.stdin.flush()
        record = answer.get(timeout=TIMEOUT_S)
        if "error" in record:
            raise NodeError(record["error"], record.get("code"))
        return record["result"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class _NodeClient:
    """What both kinds share."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.name = f"node-{uuid.uuid4().hex[:8]}"
        self.inbox = Inbox()
        self.messages: queue.Queue[dict[str, Any]] = queue.Queue()
        """All that is known of each message, in the client's words."""
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        """What else came: `disconnect`, `close`, `error`."""
        self.packets: list[dict[str, Any]] = []
        node.listen(self.name, self._on_event)

    def _on_event(self, record: dict[str, Any]) -> None:
        if record["event"] == "message":
            self.messages.put(record)
            address = record["topic"] if "topic" in record else record["headers"]["destination"]
            self.inbox.put(address, base64.b64decode(record["body"]))
        elif record["event"] == "packet":
            self.packets.append(record)
        else:
            self.events.put(record)

    def message(self) -> dict[str, Any]:
        """The next message.  Raises queue.Empty when it does not come."""
        return self.messages.get(timeout=TIMEOUT_S)

    def call(self, do: str, **arguments: object) -> Any:
        """See Node."""
        return self.node.call(self.name, do, **arguments)

    def close(self) -> None:
        """Disconnect."""
        self.call("end")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


class MqttJs(_NodeClient):
    """mqtt.js; `version` 4 is 3.1.1, 5 is 5.0; `options` are those of its `connect`."""

    def __init__(
        self,
        node: Node,
        port: int,
        version: int = 5,
        client_id: str = "",
        clean: bool = True,
        **options: object,
    ) -> None:
        super().__init__(node)
        self.connack = self.call(
            "connect-mqtt",
            port=port,
            options={
                "protocolVersion": version,
                "clientId": client_id or self.name,
                "clean": clean,
                **options,
            },
        )

    def subscribe(self, topic: str, qos: int = 0, **options: object) -> Any:
        """Subscribe and wait for the SUBACK; returns what was granted."""
        return self.call("subscribe", topic=topic, options={"qos": qos, **options})

    def publish(
        self, topic: str, body: bytes, qos: int = 0, retain: bool = False, **properties: object
    ) -> Any:
        """Publish and wait until the exchange is finished."""
        options: dict[str, object] = {"qos": qos, "retain": retain}
        if properties:
            options["properties"] = properties
        return self.call("publish", topic=topic, body=_base64(body), options=options)


class Stompit(_NodeClient):
    """stompit; `headers` are those of its CONNECT."""

    def __init__(self, node: Node, port: int, **headers: str) -> None:
        super().__init__(node)
        self.connected = self.call("connect-stomp", port=port, options=headers)

    def subscribe(self, destination: str, ack: str = "auto") -> None:
        """Subscribe and wait until it is in place."""
        self.call("subscribe", headers={"destination": destination, "ack": ack})

    def publish(self, destination: str, body: bytes, **headers: str) -> None:
        """Send and wait for the RECEIPT."""
        self.call("send", headers={"destination": destination, **headers}, body=_base64(body))
