"""An MQTT client that keeps its side of the protocol, whatever is done to it, and reports what it sees."""

import random
from collections.abc import Callable
from functools import partial
from typing import Final

from protocols.mqtt.decoder import PacketDecoder
from protocols.mqtt.frames import Connack, Packet, Puback, Pubcomp, Publish, Pubrec, Pubrel, Suback, Unsuback
from tests.behaviour import mqtt_text
from tests.simulation.ledger import Copy, Holder, Ledger, Sent, Violation
from tests.simulation.network import Connection

FILTERS: Final = ("t/a", "t/+", "t/#", "t/b")
TOPICS: Final = ("t/a", "t/b")


def matches(filter: str, topic: str) -> bool:
    """MQTT 5.0 §4.7, for the few filters there are."""
    return filter in ("t/#", "t/+", topic)


class MqttClient:
    """See the module."""

    port: Final = 1883

    def __init__(
        self,
        name: str,
        version: int,
        clean: bool,
        ledger: Ledger,
        say: Callable[[str | Callable[[], str]], None],
    ) -> None:
        self.name = name
        self.version = version
        self.clean = clean
        self.connection: Connection | None = None
        self.prompt = True
        """Acknowledges at once."""
        self._ledger = ledger
        self._say = say
        self._holder: Holder = ledger.holder(f"session {name}")
        self._holder.lossy = clean
        self._decoder = PacketDecoder(1 << 28, version, -1)
        self.connected = False
        self._filters: dict[str, int] = {}
        # The server has said that it has them.
        self._kept = False
        self._packet_id = 0
        # Packet id → what waits for its PUBACK, PUBREC or (None) PUBCOMP.
        self._sent: dict[int, tuple[Sent, bool]] = {}
        self._asked: dict[int, tuple[str, str, int]] = {}
        # Received at QoS 1 and 2, and not acknowledged yet.
        self._owed: list[tuple[Publish, Copy]] = []
        self._known: dict[int, Copy] = {}

    # -- what it does

    def connect(self, connection: Connection) -> None:
        self.connection = connection
        connection.on_bytes = lambda data: self._receive(connection, data)
        connection.on_end = lambda: self._ended(connection)
        self._decoder = PacketDecoder(1 << 28, self.version, -1)
        self._owed.clear()
        if self.clean:
            self._begin_again()
        words = f"CONNECT {self.name} clean={int(self.clean)} keepalive=0"
        if self.version == 5 and not self.clean:
            words += " expiry=4294967295"
        self._write(words)

    def _begin_again(self) -> None:
        self._holder.forget()
        self._filters.clear()
        self._sent.clear()
        self._known.clear()
        self._asked.clear()
        self._kept = False

    def publish(self, chance: random.Random, size: int) -> None:
        """Send a message."""
        if not self.connected or len(self._sent) > 50:
            return
        topic = chance.choice(TOPICS)
        qos = chance.choice((0, 1, 1, 2, 2))
        sent = self._ledger.new(self.name, f"topic:{topic}", qos, qos > 0, -1, size)
        self._ledger.written(sent)
        words = f"PUBLISH {topic} "
        if qos:
            packet_id = self._next_id()
            self._sent[packet_id] = (sent, False)
            words += f"qos={qos} id={packet_id} "
        self._write(words + sent.body)

    def subscribe(self, chance: random.Random) -> None:
        """Add a filter."""
        if not self.connected or self._asked:
            return
        filter = chance.choice(FILTERS)
        qos = chance.choice((1, 2, 2))
        if filter in self._filters:
            return
        packet_id = self._next_id()
        self._asked[packet_id] = ("SUBSCRIBE", filter, qos)
        self._holder.may_take(_wish({filter: qos}))
        self._write(f"SUBSCRIBE {packet_id} {filter} qos={qos}")

    def unsubscribe(self, chance: random.Random) -> None:
        """Take one back."""
        if not self.connected or not self._filters or self._asked:
            return
        filter = chance.choice(sorted(self._filters))
        packet_id = self._next_id()
        del self._filters[filter]
        self._holder.take_less(_wish(self._filters))
        self._asked[packet_id] = ("UNSUBSCRIBE", filter, 0)
        self._write(f"UNSUBSCRIBE {packet_id} {filter}")

    def acknowledge(self, chance: random.Random) -> None:
        """Acknowledge some of what it has."""
        for _ in range(chance.randint(1, 5)):
            if self._owed and self.connected:
                self._settle(*self._owed.pop(0))

    def acknowledge_all(self) -> None:
        """Acknowledge what it has."""
        while self._owed and self.connected:
            self._settle(*self._owed.pop(0))

    def leave(self, chance: random.Random) -> None:
        """Disconnect, one way or the other."""
        connection = self.connection
        if connection is None:
            return
        how = chance.choice(("in order", "closes", "breaks"))
        self._say(f"{self.name} leaves: {how}")
        if how == "in order" and self.connected:
            self._write("DISCONNECT")
            connection.leave()
        elif how == "closes":
            connection.leave()
        else:
            connection.break_off()
        self._ended(connection)

    @property
    def idle(self) -> bool:
        """Does it wait for nothing?"""
        return self.connected and not self._sent and not self._asked and not self._owed

    @property
    def unanswered(self) -> bool:
        """Does it wait for an answer?"""
        return self.connected and bool(self._sent or self._asked)

    def waits_for(self) -> str:
        """For people."""
        state = f"sent {sorted(self._sent)}, asked {self._asked}, owes {len(self._owed)}"
        return f"{self.name}: connected {self.connected}, {state}"

    # -- the wire

    def _next_id(self) -> int:
        while True:
            self._packet_id = self._packet_id % 200 + 1
            if self._packet_id not in self._sent and self._packet_id not in self._asked:
                return self._packet_id

    def _write(self, words: str) -> None:
        self._say(f"{self.name} > {words[:70]}")
        if self.connection is not None:
            self.connection.say(mqtt_text.write(words, self.version))

    def _ended(self, connection: Connection) -> None:
        if self.connection is connection:
            self._say(f"{self.name} is disconnected")
            connection.leave()
            self.connection = None
            self.connected = False
            self._owed.clear()
            for kind, filter, _ in self._asked.values():
                # Whether it was carried out nobody knows.
                self._filters.pop(filter, None)
                self._say(f"{self.name} does not know of {kind} {filter}")
            if self._asked:
                self._holder.take(_wish(self._filters))
                self._asked.clear()

    def _receive(self, connection: Connection, data: bytes) -> None:
        if self.connection is not connection:
            return
        self._decoder.push(data)
        while self.connection is connection and (frame := self._decoder.next_frame()) is not None:
            packet = self._decoder.decode(frame)
            self._say(partial(self._shown, packet))
            self._handle(packet)

    def _shown(self, packet: Packet) -> str:
        return f"{self.name} < {mqtt_text.show(packet)[:70]}"

    def _handle(self, packet: Packet) -> None:
        if isinstance(packet, Publish):
            self._got(packet)
        elif isinstance(packet, Connack):
            self._welcomed(packet)
        elif isinstance(packet, Puback):
            self._confirmed(packet.packet_id, packet.reason_code)
        elif isinstance(packet, Pubrec):
            sent, _ = self._sent[packet.packet_id]
            self._confirmed(packet.packet_id, packet.reason_code)
            if packet.reason_code < 0x80:
                self._sent[packet.packet_id] = (sent, True)
                self._write(f"PUBREL {packet.packet_id}")
        elif isinstance(packet, Pubcomp):
            self._sent.pop(packet.packet_id, None)
        elif isinstance(packet, Pubrel):
            copy = self._known.pop(packet.packet_id, None)
            if copy is not None:
                copy.confirmations += 1
            self._write(f"PUBCOMP {packet.packet_id}")
        elif isinstance(packet, (Suback, Unsuback)):
            self._answered(packet.packet_id, packet.codes)

    def _welcomed(self, connack: Connack) -> None:
        self.connected = True
        if connack.code:
            return
        if self.clean and connack.session_present:
            raise Violation(f"{self.name} has begun a session anew, and is told that there is one")
        if self._kept and not connack.session_present:
            raise Violation(f"the session of {self.name} is not there any more")
        if not connack.session_present:
            self._begin_again()
        self._known = {key: copy for key, copy in self._known.items() if connack.session_present}
        for packet_id, (sent, received) in list(self._sent.items()):
            if received:
                self._write(f"PUBREL {packet_id}")
            else:
                topic = sent.target.removeprefix("topic:")
                self._ledger.repeated(sent)
                self._write(f"PUBLISH {topic} qos={sent.qos} dup id={packet_id} {sent.body}")

    def _confirmed(self, packet_id: int, code: int) -> None:
        sent, received = self._sent.pop(packet_id)
        if code < 0x80 and not received:
            self._ledger.confirmed(sent)

    def _answered(self, packet_id: int, codes: list[int]) -> None:
        kind, filter, qos = self._asked.pop(packet_id)
        if kind == "SUBSCRIBE" and codes[0] < 0x80:
            self._filters[filter] = qos
            self._holder.take(_wish(self._filters))
            self._kept = not self.clean

    def _got(self, publish: Publish) -> None:
        body = publish.payload().decode()
        if publish.qos == 2 and publish.packet_id in self._known:
            copy = self._known[publish.packet_id]
            if copy.sent is not self._ledger.find(body):
                raise Violation(f"{self.name}: packet id {publish.packet_id} is used twice at once")
        else:
            redelivered = publish.dup
            # What was sent at another QoS may overtake (MQTT 5.0 §4.6).
            reader = f"{self.name} at QoS {publish.qos}"
            copy = self._holder.received(body, reader, redelivered, publish.qos == 2, flagged=publish.qos > 0)
            if publish.qos == 2:
                self._known[publish.packet_id] = copy
        if publish.qos == 0:
            copy.acknowledged = True
            return
        self._owed.append((publish, copy))
        if self.prompt:
            while self._owed and self.connected:
                self._settle(*self._owed.pop(0))

    def _settle(self, publish: Publish, copy: Copy) -> None:
        copy.acknowledged = True
        self._write(f"{'PUBREC' if publish.qos == 2 else 'PUBACK'} {publish.packet_id}")


def _wish(filters: dict[str, int]) -> Callable[[Sent], bool]:
    """Takes what one of them matches, and is kept."""
    mine = dict(filters)
    return lambda sent: (
        sent.target.startswith("topic:") and any(matches(filter, sent.target[6:]) for filter in mine)
    )
