"""A client of server-sent events that comes again with its Last-Event-ID (WHATWG HTML §9.2), and is told what it missed."""

import json
import random
from typing import Final

import h11

from tests.simulation.client import Client, Say
from tests.simulation.clock import Clock
from tests.simulation.ledger import Ledger
from tests.simulation.messages import TOPICS, Sent, Violation
from tests.simulation.network import Connection


class EventStream(Client):
    """See the module."""

    port: Final = 61614

    def __init__(self, name: str, ledger: Ledger, clock: Clock, say: Say) -> None:
        super().__init__(name, ledger, clock, say)
        self._holder = ledger.holder(f"stream {name}")
        self._holder.may_take(_is_topic)
        self._wire = h11.Connection(h11.CLIENT)
        self._text = b""
        self._id = ""
        # Nothing of this one has come yet.
        self._fresh = True

    def connect(self, connection: Connection) -> None:
        self._begin_connection(connection)
        self._wire = h11.Connection(h11.CLIENT)
        self._text = b""
        self._fresh = True
        headers = [("host", "localhost"), ("accept", "text/event-stream")]
        if self._id:
            headers.append(("last-event-id", self._id))
        self._say(f"{self.name} > GET /events {self._id}")
        request = h11.Request(method="GET", target="/events?destination=topic:t.*", headers=headers)
        connection.say((self._wire.send(request) or b"") + (self._wire.send(h11.EndOfMessage()) or b""))

    def leave(self, chance: random.Random) -> None:
        """It breaks off."""
        connection = self.connection
        if connection is not None:
            self._say(f"{self.name} leaves")
            connection.break_off()
            self._ended(connection)

    @property
    def idle(self) -> bool:
        """Has it been told where it is?"""
        return self.connected

    @property
    def unanswered(self) -> bool:
        """It asks for nothing more."""
        return False

    def waits_for(self) -> str:
        """For people."""
        return f"{self.name}: connected {self.connected}"

    def subscribe(self, chance: random.Random) -> None:
        """It is subscribed as long as it is there, as the others below."""

    def unsubscribe(self, chance: random.Random) -> None:
        """See subscribe."""

    def acknowledge(self, chance: random.Random) -> None:
        """See subscribe."""

    def acknowledge_all(self) -> None:
        """See subscribe."""

    def talk_nonsense(self, chance: random.Random) -> None:
        """See subscribe."""

    def _ended(self, connection: Connection) -> None:
        if self.connection is connection:
            self._say(f"{self.name} is disconnected")
            connection.leave()
            self.connection = None
            self.connected = False

    def _receive(self, connection: Connection, data: bytes) -> None:
        if self.connection is not connection:
            return
        self._wire.receive_data(data)
        while self.connection is connection:
            event = self._wire.next_event()
            if isinstance(event, h11.Data):
                self._text += bytes(event.data)
                self._read()
            elif isinstance(event, h11.Response) and event.status_code == 200:
                continue
            elif isinstance(event, (h11.Response, h11.EndOfMessage)):
                # It is stopping, say.
                connection.leave()
                self._ended(connection)
            else:
                return

    def _read(self) -> None:
        while True:
            block, end, rest = self._text.partition(b"\n\n")
            if not end:
                return
            self._text = rest
            fields = {"event": "", "id": "", "data": ""}
            for line in block.decode().split("\n"):
                name, _, value = line.partition(": ")
                if name in fields:
                    fields[name] = value
            self._say(f"{self.name} < {fields['event']} {fields['id']} {fields['data'][:80]}")
            if fields["event"] == "gap":
                self._missed()
            elif fields["id"]:
                self._step(fields["id"], fields["data"])

    def _missed(self) -> None:
        """Something is not there any more: from here on nothing is missing again."""
        self._holder.forget()
        self._holder.take(_is_topic)

    def _step(self, id: str, data: str) -> None:
        stream, _, number = id.rpartition(".")
        known, _, last = self._id.rpartition(".")
        if not data:
            if stream != known:
                # A new one; should this be in place of another, a gap is told next.
                self._holder.take(_is_topic)
            elif number != last:
                raise Violation(f"{self.name} asked for what came after {self._id}, and is at {id}")
            self._id = id
            self._fresh = False
            self.connected = True
            return
        # One that is left out has expired meanwhile, or its reader was too slow.
        if self._fresh or stream != known or int(number) <= int(last):
            raise Violation(f"{self.name}: the event after {self._id} is {id}")
        self._id = id
        message = json.loads(data)
        body = message.get("body", "")
        if not body:
            return
        sent = self._ledger.find(body)
        sent.look_at_time(self._clock.served_s(), self._opened_s, self._clock.served_offset_s)
        copy = self._holder.received(body, self.name, False, False)
        copy.acknowledged = True


def _is_topic(sent: Sent) -> bool:
    return sent.topic in TOPICS
