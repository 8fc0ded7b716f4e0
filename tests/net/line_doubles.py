"""Connectors that do what the client's lines say: net is tested without any protocol.

They are interpreted subclasses, which compiled base classes do not take: this room's tests run plain only.
"""

from collections.abc import Callable

from gateway.connectors.base import Connector, Limits, Turn
from gateway.connectors.parts import Pieces
from gateway.connectors.service import Acceptor
from gateway.core.router import Broker


class LineConnector(Connector):
    """Does what each line says; answers every line but `quiet`."""

    def __init__(self, acceptor: "LineAcceptor", turn: Turn, peer: str) -> None:
        super().__init__(acceptor.broker, turn, acceptor.limits, acceptor.counters, peer)
        self.acceptor = acceptor
        self.due_ms: int | None = None
        self.heard = b""
        self._begun = b""
        self.writable_calls: list[bool] = []
        self.ends = 0
        self.refused = False
        self.broken_output = False
        self.steps = 0
        self.steps_left: list[int] = []

    def bytes_in(self, data: bytes, now_ms: int) -> None:
        assert self.broker.now_ms == now_ms
        self.heard += data
        *lines, self._begun = (self._begun + data).split(b"\n")
        for line in lines:
            self._obey(line.decode(), now_ms)

    def _obey(self, line: str, now_ms: int) -> None:
        word, _, rest = line.partition(" ")
        if word == "boom":
            raise RuntimeError("a bug of ours")
        if word == "boom-later":
            self.broken_output = True
            self.turn.mark(self)
        elif word == "fail":
            self.failure = rest
            self.say(b"bad: " + rest.encode() + b"\n")
            self.closing = True
        elif word == "due":
            self.due_ms = now_ms + int(rest)
        elif word == "big":
            for _ in range(8):
                self.push(b"x" * (int(rest) // 8))
        elif word == "parts":
            self.push_parts(Pieces([b"x" * int(rest) + b"\n"]), True)
        elif word == "stored":
            self.confirm(self.broker.store.durable + 1, b"ok stored\n")
        elif word == "hold":
            self.throttle(True)
        elif word == "steps":
            self.steps = int(rest)
            self._leave_rest()
        elif word != "quiet":
            self.say(b"ok " + line.encode() + b"\n")

    def _leave_rest(self) -> None:
        """What is left is for later turns."""
        if self.steps:
            self.resumes = True
            self.turn.mark(self)
        else:
            self.say(b"ok steps\n")

    def go_on(self, now_ms: int) -> None:
        super().go_on(now_ms)
        if self.steps:
            self.steps -= 1
            self.acceptor.stepped()
            self._leave_rest()

    def prepare_out(self, now_ms: int) -> None:
        self.steps_left.append(self.steps)
        if self.broken_output:
            raise RuntimeError("a bug of ours, at the end of the turn")

    def eof(self, now_ms: int) -> None:
        self.ends += 1
        self.detach()

    def next_deadline_ms(self) -> int | None:
        return self.due_ms

    def deadline(self, now_ms: int) -> None:
        assert self.due_ms is not None
        assert self.due_ms <= now_ms
        self.due_ms = None
        self.say(b"due\n")

    def writable(self, yes: bool) -> None:
        self.writable_calls.append(yes)
        super().writable(yes)

    def shutdown(self, now_ms: int) -> None:
        self.say(b"bye\n")
        self.closing = True

    def refuse(self, now_ms: int) -> None:
        self.refused = True
        self.failure = "one too many"
        self.say(b"full\n")
        self.closing = True

    def resumed(self) -> None:
        pass

    def congestion_changed(self) -> None:
        pass

    def on_rate_exceeded(self) -> None:
        pass


class LineAcceptor(Acceptor):
    """Keeps what it made."""

    def __init__(self, broker: Broker, limits: Limits) -> None:
        super().__init__("lines", "lines", limits)
        self.broker = broker
        self.made: list[LineConnector] = []
        self.broken = False
        self.strangers = False
        self.stepped: Callable[[], None] = lambda: None

    def accept(self, peer: str, turn: Turn, now_ms: int) -> Connector:
        if self.broken:
            raise RuntimeError("a bug of ours")
        connector = LineConnector(self, turn, peer)
        connector.stranger = self.strangers
        self.made.append(connector)
        return connector
