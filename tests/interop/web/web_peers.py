"""A gateway that can be restarted on its ports, and a server for the pages that a browser loads."""

import contextlib
import functools
import http.server
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).parent

TLS = """
[[connector]]
name = "wss"
uri = "wss://127.0.0.1:0"
[connector.tls]
certificate = "{leaf.chain}"
key = "{leaf.key}"
[[connector]]
name = "auto"
uri = "auto://127.0.0.1:0"
[connector.tls]
certificate = "{leaf.chain}"
key = "{leaf.key}"
"""

CONFIG = """
[[connector]]
name = "mqtt"
uri = "mqtt://127.0.0.1:{mqtt}"
[[connector]]
name = "stomp"
uri = "stomp://127.0.0.1:{stomp}"
[[connector]]
name = "ws"
uri = "ws://127.0.0.1:{ws}"
[admin]
enabled = false
[store]
path = "{store}"
[websocket]
demo = true
"""


class WebGateway:
    """A gateway of its own process."""

    def __init__(self, directory: Path, more: str = "") -> None:
        self._directory = directory
        self._more = more
        self._process: subprocess.Popen[str] | None = None
        self.ports = {"mqtt": 0, "stomp": 0, "ws": 0}
        self.start()

    @property
    def url(self) -> str:
        """Where WebSocket is spoken."""
        return f"ws://127.0.0.1:{self.ports['ws']}/"

    @property
    def http(self) -> str:
        """The same port for plain requests."""
        return f"http://127.0.0.1:{self.ports['ws']}"

    def start(self) -> None:
        """Start it: on free ports the first time, on the same ones again."""
        (self._directory / "gateway.toml").write_text(
            CONFIG.format(store=self._directory / "store.db", **self.ports) + self._more
        )
        with (self._directory / "errors").open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "run", str(self._directory / "gateway.toml")],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        assert self._process.stdout is not None
        said = ""
        for line in self._process.stdout:
            said += line
            if line.strip() == "ready":
                break
        for name, port in re.findall(r"(mqtt|stomp|wss?|auto)://127\.0\.0\.1:(\d+)", said):
            self.ports[name] = int(port)
        assert all(self.ports.values()), said + self.errors

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it."""
        process = self._process
        assert process is not None
        process.send_signal(number)
        process.wait(10)

    @property
    def errors(self) -> str:
        """What it has logged."""
        return (self._directory / "errors").read_text()


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Pages, and what npm has installed below /npm/."""

    def __init__(self, modules: Path, *args: object) -> None:
        self._modules = modules
        super().__init__(*args, directory=str(HERE / "pages"))  # type: ignore[arg-type]

    def translate_path(self, path: str) -> str:
        if path.startswith("/npm/"):
            return str(self._modules / path.removeprefix("/npm/"))
        return super().translate_path(path)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Pages:
    """An HTTP server for a site that is not the gateway."""

    def __init__(self, modules: Path) -> None:
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, modules))
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class Relay:
    """A way to a port of this machine that can be cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                try:
                    far = socket.create_connection(("127.0.0.1", self._to))
                except OSError:
                    near.close()
                    continue
                self._sockets += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """All connections break."""
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._sockets.clear()

    def close(self) -> None:
        """No way any more."""
        self._listener.close()
        self.cut()
