"""An HTTP client that posts, pulls and settles receipts, one request after the other, and reports what it sees."""

import json
import random
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import h11

from tests.simulation.client import Client, Say
from tests.simulation.clock import Clock
from tests.simulation.json_client import LIVES_MS, REMEMBERED_S
from tests.simulation.ledger import Ledger
from tests.simulation.messages import (
    AUTO_QUEUE,
    GUARDED,
    GUARDED_QUEUE,
    GUARDED_TOPIC,
    KINDS,
    NEVER,
    QUEUES,
    TOPICS,
    Copy,
    Group,
    Sent,
    Violation,
)
from tests.simulation.network import Connection
from tests.simulation.selectors import properties_of

ENVELOPES: Final = "application/vnd.mx+json"

WAITING_MAX: Final = 20
"""Requests that wait for their turn."""

VISIBLE_AGAIN_S: Final = 31
"""After which a delivery is certainly back of whose receipt nobody was told (`http.visibility_timeout_ms`)."""

GARBAGE: Final = (
    b"GET\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",  # no Host
    b"POST /queues/q.1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    b"POST /queues/q.1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"\x16\x03\x01\x00\x00",
)
"""Each ends the connection that it comes by."""


class Request:
    """One, and what is to be done with its answer."""

    def __init__(self, method: str, target: str, then: Callable[["Answer"], object]) -> None:
        self.method = method
        self.target = target
        self.then = then
        self.headers: dict[str, str] = {}
        self.body = b""
        self.takes = ""
        """The queue from which it takes a message."""
        self.sends: list[Sent] = []
        self.settles: Copy | None = None
        self.group: Group | None = None
        """What it sends as one."""
        self.again = False
        """It has been sent before."""


class Answer:
    """A response."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def good(self) -> bool:
        return self.status < 300


class HttpClient(Client):
    """See the module."""

    port: Final = 61614

    def __init__(self, name: str, ledger: Ledger, clock: Clock, say: Say) -> None:
        super().__init__(name, ledger, clock, say)
        self._wire = h11.Connection(h11.CLIENT)
        self._waiting: deque[Request] = deque()
        self._request: Request | None = None
        self._response: h11.Response | None = None
        self._body = b""
        # Receipts outlive the connection by which they came.
        self._owed: list[tuple[str, Copy]] = []
        self._lost_until_us = 0
        # What was to be done once, and has no answer yet: when, and by which clock.
        self._unsure: dict[int, tuple[Request, int, float]] = {}

    # -- what it does

    def connect(self, connection: Connection) -> None:
        self._begin_connection(connection)
        self._wire = h11.Connection(h11.CLIENT)
        self._response = None
        self._body = b""
        self.connected = True
        for uid, (request, us, offset_s) in list(self._unsure.items()):
            if offset_s != self._clock.served_offset_s or self._clock.us - us > REMEMBERED_S * 1_000_000:
                del self._unsure[uid]
                continue
            request.again = True
            for sent in request.sends:
                sent.connection = self._connections
                self._ledger.resent(sent)
            self._ask(request)

    def send(self, chance: random.Random, size: int, guarded: bool = False) -> None:
        """Post a message, or several as one; `guarded`: to where rights are needed."""
        if not self.connected or len(self._waiting) > WAITING_MAX:
            return
        if chance.random() < 0.2:
            self._post_many(chance, size, guarded)
            return
        sent, meta = self._new(chance, size, guarded)
        sent.retains = not sent.mortal and sent.topic in TOPICS and chance.random() < 0.2
        self._ledger.written(sent)
        kind, _, path = sent.target.partition(":")
        target = f"/{kind}s/{path.replace('/', '.')}"
        if sent.retains:
            target += "?retain=true"
        request = Request("POST", target, lambda answer: self._posted(request, answer))
        request.headers = {"x-mx-meta": json.dumps(meta), "content-type": "text/plain"}
        request.body = sent.body.encode()
        request.sends = [sent]
        self._post(request, chance)

    def _post_many(self, chance: random.Random, size: int, guarded: bool) -> None:
        request = Request("POST", "/messages", lambda answer: self._posted(request, answer))
        envelopes = []
        for _ in range(chance.choice((1, 2, 5))):
            sent, meta = self._new(chance, size, guarded)
            request.sends.append(sent)
            envelopes.append({"to": sent.target.replace("/", "."), "body": sent.body, **meta})
        group = self._ledger.committed(request.sends, [])
        request.group = group
        request.headers = {"content-type": "application/json"}
        request.body = json.dumps(envelopes).encode()
        self._post(request, chance)

    def _post(self, request: Request, chance: random.Random) -> None:
        if chance.random() < 0.3:
            uid = request.sends[0].uid
            request.headers["idempotency-key"] = f"key {uid}"
            self._unsure[uid] = (request, self._clock.us, self._clock.served_offset_s)
        self._ask(request)

    def _new(self, chance: random.Random, size: int, guarded: bool) -> tuple[Sent, dict[str, Any]]:
        """A message, and what is said beside its body."""
        name = chance.choice((*QUEUES, *QUEUES, AUTO_QUEUE, GUARDED_QUEUE))
        topic = chance.choice((*TOPICS, *TOPICS, GUARDED_TOPIC))
        target = f"queue:{name}" if chance.random() < 0.6 else f"topic:{topic}"
        if guarded:
            target = chance.choice(sorted(GUARDED))
        k = chance.randrange(KINDS)
        persistent = chance.random() < 0.85
        sent = self._ledger.new(self.name, target, 1, persistent, k, size)
        sent.connection = self._connections
        meta: dict[str, Any] = {"properties": properties_of(sent), "durable": persistent}
        if chance.random() < 0.2:
            sent.priority = meta["priority"] = chance.choice((0, 4, 5, 9))
        if chance.random() < 0.1:
            sent.offset_s = self._clock.served_offset_s
            expires_ms = round(self._clock.served_s() * 1_000) + chance.choice(LIVES_MS)
            sent.expires_s = expires_ms / 1_000
            meta["expires_at"] = expires_ms
        return sent, meta

    def _posted(self, request: Request, answer: Answer) -> None:
        self._unsure.pop(request.sends[0].uid, None)
        for sent in request.sends:
            if answer.good:
                self._ledger.confirmed(sent)
                if request.group is not None:
                    request.group.confirm()
            elif answer.status != 503 and not request.again:
                # An error says that it has arrived nowhere.
                sent.state = NEVER

    def subscribe(self, chance: random.Random) -> None:
        """Pull from a queue."""
        if not self.connected or len(self._waiting) > WAITING_MAX:
            return
        queue = chance.choice((*QUEUES, AUTO_QUEUE, GUARDED_QUEUE))
        wait_ms = chance.choice((0, 0, 100, 2_000))
        words = f"?wait={wait_ms}"
        automatic = queue == AUTO_QUEUE and chance.random() < 0.5
        if automatic:
            words += "&ack=auto"
        several = chance.random() < 0.4
        if several:
            words += f"&max={chance.choice((1, 3, 20))}"
        request = Request(
            "GET",
            f"/queues/{queue}{words}",
            partial(self._pulled, queue, automatic, self._ledger.rights.epoch),
        )
        request.takes = queue
        self._ledger.holder(f"queue {queue}").tries += 1
        if several:
            request.headers["accept"] = ENVELOPES
        self._ask(request)

    def unsubscribe(self, chance: random.Random) -> None:
        """There is nothing to take back."""

    def transact(self, chance: random.Random) -> None:
        """A request is a transaction of its own."""
        self.send(chance, 100)

    def _pulled(self, queue: str, automatic: bool, epoch: int, answer: Answer) -> None:
        if not answer.good:
            return
        self._ledger.rights.granted(f"queue:{queue}", epoch, self.name)
        if answer.status == 204:
            return
        if answer.headers.get("content-type") == ENVELOPES:
            for envelope in json.loads(answer.body):
                self._got(queue, envelope["body"], "" if automatic else envelope["receipt"])
        else:
            receipt = answer.headers.get("location", "").removeprefix("/receipts/")
            self._got(queue, answer.body.decode(), receipt)

    def _got(self, queue: str, body: str, receipt: str) -> None:
        sent = self._ledger.find(body)
        sent.look_at_time(self._clock.served_s(), self._opened_s, self._clock.served_offset_s)
        # Requests follow each other, and one that nobody waits for gives back what it took: behind later ones.
        holder = self._ledger.holder(f"queue {queue}")
        copy = holder.received(body, self.name, True, False, flagged=False)
        if not receipt:
            copy.acknowledged = True
            return
        self._owed.append((receipt, copy))
        if self.prompt:
            self._settle("")

    def acknowledge(self, chance: random.Random) -> None:
        """Settle some of what it has."""
        for _ in range(chance.randint(1, 5)):
            if self._owed and self.connected and len(self._waiting) <= WAITING_MAX:
                self._settle(chance.choice(("", "", "", "", "/release", "/reject")))

    def acknowledge_all(self) -> None:
        """Settle all that it has."""
        while self._owed and self.connected:
            self._settle("")

    def _settle(self, how: str) -> None:
        receipt, copy = self._owed.pop(0)
        if how == "/reject":
            copy.refused = copy.rejected = True
        request = Request(
            "POST" if how else "DELETE", f"/receipts/{receipt}{how}", partial(self._settled, how, copy)
        )
        if not how:
            request.settles = copy
        self._ask(request)

    def _settled(self, how: str, copy: Copy, answer: Answer) -> None:
        # Where its time has run out it is not acknowledged.
        if answer.good and not how:
            copy.acknowledged = True
            copy.confirmations += 1
        elif answer.good and how == "/reject":
            self._ledger.refused(copy)

    def talk_nonsense(self, chance: random.Random) -> None:
        """Say what ends the connection."""
        if self.connected and self.connection is not None and self._request is None:
            self._say(f"{self.name} > nonsense")
            self.connection.say(chance.choice(GARBAGE))
            self.doomed = True

    def leave(self, chance: random.Random) -> None:
        """Disconnect, one way or the other."""
        connection = self.connection
        if connection is None:
            return
        how = chance.choice(("closes", "breaks"))
        self._say(f"{self.name} leaves: {how}")
        if how == "closes":
            connection.leave()
        else:
            connection.break_off()
        self._ended(connection)

    @property
    def idle(self) -> bool:
        """Does it wait for nothing?"""
        waits = self._request or self._waiting or self._owed or self._unsure
        return self.connected and not waits and self._clock.us >= self._lost_until_us

    @property
    def unanswered(self) -> bool:
        """Does it wait for an answer?"""
        return self.connected and self._request is not None

    def waits_for(self) -> str:
        """For people."""
        request = self._request
        asked = "" if request is None else f"{request.method} {request.target}"
        return f"{self.name}: connected {self.connected}, asked {asked}, waiting {len(self._waiting)}"

    # -- the wire

    def _ask(self, request: Request) -> None:
        self._waiting.append(request)
        self._go_on()

    def _go_on(self) -> None:
        """Send the next, once the last has its answer."""
        connection = self.connection
        if self._request is not None or not self._waiting or connection is None or self.doomed:
            return
        self._request = request = self._waiting.popleft()
        self._say(f"{self.name} > {request.method} {request.target} {request.body[:40].decode()}")
        headers = [("host", "localhost"), *request.headers.items()]
        if request.body:
            headers.append(("content-length", str(len(request.body))))
        head = h11.Request(method=request.method, target=request.target, headers=headers)
        data = self._wire.send(head) or b""
        if request.body:
            data += self._wire.send(h11.Data(data=request.body)) or b""
        connection.say(data + (self._wire.send(h11.EndOfMessage()) or b""))

    def _ended(self, connection: Connection) -> None:
        if self.connection is not connection:
            return
        self._say(f"{self.name} is disconnected")
        connection.leave()
        self.connection = None
        self.connected = False
        request, self._request = self._request, None
        under_way = [*self._waiting] if request is None else [request, *self._waiting]
        if any(one.target.startswith("/receipts/") for one in under_way):
            # Whether it settled anything nobody knows either.
            self._lost_until_us = self._clock.us + VISIBLE_AGAIN_S * 1_000_000
        if request is not None and request.takes:
            # Whether it took something nobody knows: that comes again, or has counted as read when it was answered.
            self._lost_until_us = self._clock.us + VISIBLE_AGAIN_S * 1_000_000
            if "ack=auto" in request.target:
                self._ledger.holder(f"queue {request.takes}").lossy = True
        if request is not None and request.settles is not None:
            request.settles.acknowledged = True
        for waiting in self._waiting:
            if waiting.sends and waiting.sends[0].uid not in self._unsure:
                for sent in waiting.sends:
                    sent.state = NEVER
        self._waiting.clear()

    def _receive(self, connection: Connection, data: bytes) -> None:
        if self.connection is not connection or self.doomed:
            return
        self._wire.receive_data(data)
        while self.connection is connection:
            event = self._wire.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            if isinstance(event, h11.Response):
                self._response = event
                self._body = b""
            elif isinstance(event, h11.Data):
                self._body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self._answered()
            elif isinstance(event, h11.ConnectionClosed):
                return

    def _answered(self) -> None:
        request, response = self._request, self._response
        if request is None or response is None:
            raise Violation(f"{self.name} is answered what it has not asked")
        self._request = None
        headers = {name.decode(): value.decode("latin-1") for name, value in response.headers}
        self._say(f"{self.name} < {response.status_code} {self._body[:60]!r}")
        if self._wire.their_state is h11.DONE and self._wire.our_state is h11.DONE:
            self._wire.start_next_cycle()
            again = True
        else:
            again = False
        request.then(Answer(response.status_code, headers, self._body))
        if again:
            self._go_on()
        elif self.connection is not None:
            self.connection.leave()
            self._ended(self.connection)
