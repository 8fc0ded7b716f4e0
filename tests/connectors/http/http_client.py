"""An HTTP client in memory: h11's other side, driving one connector."""

import json
from typing import Any

import h11

from gateway.connectors.base import Limits, Turn
from gateway.connectors.carriage import Route
from gateway.connectors.http.service import HttpAcceptor, HttpService
from gateway.connectors.http.settings import HttpSettings, Page
from gateway.connectors.websocket.service import JsonService
from gateway.connectors.websocket.settings import JsonSettings
from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.ports import Authorizer, Store
from gateway.core.router import Broker
from gateway.store.memory import MemoryStore

NOW_MS = 1_700_000_000_000


class Answer:
    """One response."""

    def __init__(self, response: h11.Response | h11.InformationalResponse, body: bytes) -> None:
        self.status = response.status_code
        self.headers = {name.decode(): value.decode("latin-1") for name, value in response.headers}
        self.body = body

    @property
    def meta(self) -> dict[str, Any]:
        """X-Mx-Meta."""
        value = json.loads(self.headers["x-mx-meta"])
        assert isinstance(value, dict)
        return value


class World:
    """A broker and its HTTP clients."""

    def __init__(
        self,
        limits: Limits | None = None,
        settings: HttpSettings | None = None,
        policy: QueuePolicy | None = None,
        store: Store | None = None,
        authorizer: Authorizer | None = None,
        on_loopback: bool = True,
        broker: Broker | None = None,
    ) -> None:
        self.now_ms = NOW_MS
        self.broker = broker or Broker(
            store or MemoryStore(),
            authorizer or Authorizer(),
            CoreLimits(),
            policy or QueuePolicy(dead_letters="DLQ", deliveries_max=2),
        )
        self.broker.now_ms = NOW_MS
        self.turn = Turn(lambda: None)
        pages = {"/page": Page("text/html; charset=utf-8", b"<!doctype html>")}
        self.service = HttpService(self.broker, settings or HttpSettings(), pages)
        acceptor = self.service.acceptor("w", "ws", limits or Limits())
        assert isinstance(acceptor, HttpAcceptor)
        self.acceptor = acceptor
        inner = JsonService(self.broker, JsonSettings())
        carriage = inner.carriage()
        assert carriage is not None
        acceptor.carry([Route(carriage, inner.acceptor("w", "json", limits or Limits()))], on_loopback)

    def client(self) -> "HttpClient":
        """One more connection."""
        return HttpClient(self)

    def once(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        """A request on a connection of its own."""
        answer = self.client().ask(method, target, body, **headers)
        assert answer is not None
        return answer

    def advance(self, ms: int) -> None:
        """Let time pass."""
        self.now_ms += ms
        self.broker.tick(self.now_ms)
        self.service.tick(self.now_ms)


class HttpClient:
    """One connection, seen from the client."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.connector = world.acceptor.accept("127.0.0.1:1", world.turn, world.now_ms)
        self.h11 = h11.Connection(h11.CLIENT)

    def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer | None:
        """Send a request; the response, or None when it has to be waited for.  `_` in a name stands for `-`."""
        self.send(method, target, body, **headers)
        return self.answer()

    def send(self, method: str, target: str, body: bytes = b"", **headers: str) -> None:
        """Send a request."""
        pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
        if "host" not in headers:
            pairs.append(("Host", "localhost:61614"))
        if body:
            pairs.append(("Content-Length", str(len(body))))
        data = self.h11.send(h11.Request(method=method, target=target, headers=pairs)) or b""
        if body:
            data += self.h11.send(h11.Data(data=body)) or b""
        data += self.h11.send(h11.EndOfMessage()) or b""
        self.raw(data)

    def raw(self, data: bytes) -> None:
        """Send these bytes."""
        self.world.broker.now_ms = self.world.now_ms
        self.connector.bytes_in(data, self.world.now_ms)
        # As net does.
        while self.connector.resumes and not self.world.turn.over:
            self.connector.go_on(self.world.now_ms)

    def written(self) -> bytes:
        """What was said, as bytes."""
        data = b""
        parted = True
        while parted:
            parted = self.connector.unwritten
            data += b"".join(self.connector.bytes_out(self.world.now_ms))
            self.connector.written()
        self.connector.marked = False
        return data

    def answer(self) -> Answer | None:
        """The response, if it has come."""
        data = self.written()
        if not data:
            return None
        self.h11.receive_data(data)
        response: h11.Response | h11.InformationalResponse | None = None
        body = b""
        while True:
            event = self.h11.next_event()
            if isinstance(event, h11.InformationalResponse):
                if event.status_code == 101:
                    return Answer(event, b"")
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) or event is h11.NEED_DATA:
                assert response is not None
                if self.h11.our_state is h11.DONE and self.h11.their_state is h11.DONE:
                    self.h11.start_next_cycle()
                return Answer(response, body)
            else:
                raise AssertionError(event)

    def pass_time(self, ms: int) -> None:
        """Let time pass for this connection too."""
        self.world.advance(ms)
        due_ms = self.connector.next_deadline_ms()
        if due_ms is not None and due_ms <= self.world.now_ms:
            self.connector.deadline(self.world.now_ms)
