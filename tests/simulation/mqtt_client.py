"""An MQTT client that keeps its side of the protocol, whatever is done to it, and reports what it sees."""

import random
from collections.abc import Callable
from functools import partial
from typing import Final

from protocols.mqtt.decoder import PacketDecoder
from protocols.mqtt.frames import Connack, Packet, Puback, Pubcomp, Publish, Pubrec, Pubrel, Suback, Unsuback
from tests.behaviour import mqtt_text
from tests.simulation.client import Client, Say
from tests.simulation.clock import Clock
from tests.simulation.last_values import Setting
from tests.simulation.ledger import Holder, Ledger
from tests.simulation.messages import (
    CONFIRMED,
    GUARDED_QUEUE,
    GUARDED_TOPIC,
    NEVER,
    QUEUES,
    TOPICS,
    VIRTUAL_TOPIC,
    Copy,
    Sent,
    Violation,
)
from tests.simulation.network import Connection
from tests.simulation.wills import Will

SHARED_TOPIC: Final = "u/s"
"""Nobody subscribes to it but in the group, so that what comes of it is the group's."""
SHARED: Final = "$share/g/u/s"
QUEUE_PREFIX: Final = "$queue/"
FILTERS: Final = (
    *("t/a", "t/+", "t/#", "t/b", "+/a", SHARED, GUARDED_TOPIC),
    *(f"$queue/{name}" for name in (*QUEUES, GUARDED_QUEUE)),
)

NEVER_EXPIRES: Final = 4_294_967_295
LIVES_S: Final = (1, 10, 100)
WILL_DELAYS_S: Final = (0, 0, 1, 30)
WILLS_MAX: Final = 1_000
"""How often a crash may have one published once more."""

GARBAGE: Final = (
    b"\x00\x00",  # a packet type that is none
    b"\x82\xff\xff\xff\xff\x01",  # a length of five bytes
    b"\x80\x05\x00\x01\x00\x01a",  # SUBSCRIBE without its flags
    b"\x36\x05\x00\x01a\x00\x01",  # QoS 3
    b"\x30\x03\x00\x01+",  # a wildcard in a name
    b"\x32\x05\x00\x01a\x00\x00",  # packet id 0
    b"\x20\x02\x00\x00",  # what only a server says
)
"""Each ends the connection that it comes by."""

REFUSALS_MAX: Final = 10


def matches(filter: str, topic: str) -> bool:
    """MQTT 5.0 §4.7, for the few filters there are."""
    under = (
        topic in TOPICS if filter in ("t/#", "t/+") else filter == "+/a" and topic in ("t/a", GUARDED_TOPIC)
    )
    return under or filter == topic


def target_of(topic: str) -> str:
    """Where a PUBLISH to that name goes."""
    if topic.startswith(QUEUE_PREFIX):
        return "queue:" + topic.removeprefix(QUEUE_PREFIX)
    return f"topic:{topic}"


def topic_of(target: str) -> str:
    """And back."""
    kind, _, name = target.partition(":")
    return (QUEUE_PREFIX if kind == "queue" else "") + name


class MqttClient(Client):
    """See the module."""

    port: Final = 1883

    def __init__(
        self,
        name: str,
        version: int,
        clean: bool,
        expiry_s: int,
        packet_max: int,
        ledger: Ledger,
        clock: Clock,
        stays: Callable[[], bool],
        say: Say,
    ) -> None:
        super().__init__(name, ledger, clock, say)
        self.version = version
        self.clean = clean
        self.asks_last = False
        """Has it asked for all last values, at the end?"""
        self._expiry_s = expiry_s
        self._packet_max = packet_max
        """Bytes of a packet that it takes; 0 is any."""
        self._values = ledger.values
        # Is the gateway there, and not about to end?
        self._stays = stays
        self._holder: Holder = ledger.holder(f"session {name}")
        self._holder.lossy = clean
        self._shared = ledger.holder("shared g")
        self._decoder = PacketDecoder(1 << 28, version, -1)
        self._left = (0, 0)
        # What it has allowed this connection to have unacknowledged, and what is.
        self._window = 65_535
        self._unfinished: set[int] = set()
        # What the server has allowed it.
        self._send_window = 65_535
        self._alias_max = 0
        self._aliases: dict[str, int] = {}
        self._aliases_taken = 0
        self._filters: dict[str, int] = {}
        # The server has said that it has them.
        self._kept = False
        self._packet_id = 0
        # Packet id → what waits for its PUBACK, PUBREC or (True) PUBCOMP.
        self._sent: dict[int, tuple[Sent, bool]] = {}
        # Those that clear a last value.
        self._settings: dict[int, Setting] = {}
        # Packet id → kind, filter, QoS, when, and under which rules.
        self._asked: dict[int, tuple[str, str, int, int, int]] = {}
        # Topics whose last values are to come yet.
        self._due: set[str] = set()
        # When it has asked for the last value of a topic, and not been told yet, longest ago first.
        self._asked_at: dict[str, list[int]] = {}
        self._refusals = 0
        # Received at QoS 1 and 2, and not acknowledged yet.
        self._owed: list[tuple[Publish, Copy]] = []
        self._known: dict[int, Copy] = {}
        self.wills: list[Will] = []
        """All that it has ever had; the last is that of its connection, if that has one."""
        self._has_will = False
        # It has said that it leaves.
        self._in_order = False
        # Messages of QoS 1 and 2 in the order in which they came first, and how far this connection repeats them.
        # To a queue and a topic is two of them.
        self._came: dict[tuple[int, int, str], int] = {}
        self._repeated_to = 0

    # -- what it does

    def connect(self, connection: Connection) -> None:
        """Over this one from now on; another that is there is taken over from."""
        if self.connection is not None:
            self._ended(self.connection, False)
        for will in self.wills:
            will.returned(self._clock.now_s)
        self._has_will = False
        self._begin_connection(connection)
        chance = random.Random(connection.number)
        self._owed.clear()
        self._repeated_to = 0
        self._shared.tries += 1
        if self.clean:
            self._begin_again()
        words = f"CONNECT {self.name} clean={int(self.clean)} keepalive=0"
        if self.version == 5:
            self._window = chance.choice((1, 3, 65_535))
            self._aliases_taken = chance.choice((0, 0, 5))
            words += f" expiry={self._expiry_s} recvmax={self._window} aliases={self._aliases_taken}"
            if self._packet_max:
                words += f" maxsize={self._packet_max}"
        if chance.random() < 0.3:
            words += self._with_will(connection, chance)
        self._decoder = PacketDecoder(self._packet_max or 1 << 28, self.version, -1)
        self.asks_last = False
        self._write(words)

    def _with_will(self, connection: Connection, chance: random.Random) -> str:
        """What the server is to publish should the connection break."""
        topic = chance.choice((*TOPICS, *TOPICS, *TOPICS, QUEUE_PREFIX + QUEUES[0], GUARDED_TOPIC))
        qos = chance.choice((0, 1, 2))
        will = self._ledger.new(f"will of {self.name}", target_of(topic), qos, qos > 0, -1, 30)
        will.retains = topic in TOPICS and chance.random() < 0.2
        # What has published it and forgotten it may be undone by a crash, and is done again.
        will.repetitions_of_any_qos = WILLS_MAX
        if not will.persistent:
            will.repetitions = WILLS_MAX
        delay_s = chance.choice(WILL_DELAYS_S) if self.version == 5 and not self.clean else 0
        will.hidden = lambda: (
            self.connection is connection
            and connection.open
            and not connection.given_up
            and not self.doomed
            and self._stays()
        )
        # Where a crash undoes that it was published, it is once more.
        will.repetitions_of_any_qos = 1
        self._ledger.written(will)
        self.wills.append(Will(will, delay_s, connection, self._ledger))
        self._has_will = True
        words = f" will={topic} will_qos={qos} will_body={will.body}"
        return words + " will_retain" * will.retains + (f" will_delay={delay_s}" if delay_s else "")

    def _begin_again(self) -> None:
        self._holder.forget()
        self._leave_group()
        self._filters.clear()
        self._sent.clear()
        self._settings.clear()
        self._known.clear()
        self._came.clear()
        self._asked_at.clear()
        for copy in self._holder.copies.values():
            if copy.sent.state != CONFIRMED:
                # Its sender repeats what a crash undid, which is something new for a session that is new.
                copy.deliveries = copy.fresh = copy.confirmations = 0
        self._asked.clear()
        self._kept = False

    def publish(self, chance: random.Random, size: int, guarded: bool = False) -> None:
        """Send a message; `guarded`: to where rights are needed."""
        if not self.connected or len(self._sent) >= min(50, self._send_window):
            return
        topic = chance.choice(
            (*TOPICS, *TOPICS, SHARED_TOPIC, VIRTUAL_TOPIC, QUEUE_PREFIX + chance.choice(QUEUES))
            if chance.random() < 0.9 and not guarded
            else (GUARDED_TOPIC, QUEUE_PREFIX + GUARDED_QUEUE)
        )
        qos = chance.choice((0, 1, 1, 2, 2))
        rare = chance.random()
        if rare < 0.04 and topic in TOPICS:
            self._clear(topic, chance.choice((0, 1)))
            return
        sent = self._ledger.new(self.name, target_of(topic), qos, qos > 0, -1, size)
        sent.retains = rare < 0.15 and topic in TOPICS
        self._ledger.written(sent)
        words = ""
        packet_id = 0
        if qos:
            packet_id = self._next_id()
            self._sent[packet_id] = (sent, False)
            words += f"qos={qos} id={packet_id} "
        if sent.retains:
            words += "retain "
        elif rare < 0.25 and self.version == 5:
            sent.life_s = chance.choice(LIVES_S)
            # It counts from when the server has it, which nobody is told.
            sent.expires_s = float("inf")
            sent.offset_s = self._clock.served_offset_s
            words += f"life={sent.life_s} "
        self._write(f"PUBLISH {self._alias(topic, chance)} {words}{sent.body}")

    def _clear(self, topic: str, qos: int) -> None:
        """Take a topic's last value back."""
        setting = self._values.begin(topic, None)
        words = "retain "
        if qos:
            packet_id = self._next_id()
            nothing = self._ledger.nothing
            self._sent[packet_id] = (nothing, False)
            self._settings[packet_id] = setting
            words += f"qos=1 id={packet_id}"
        self._write(f"PUBLISH {topic} {words}")

    def _alias(self, topic: str, chance: random.Random) -> str:
        """The topic, or the number that stands for it in this connection (MQTT 5.0 §3.3.2.3.4)."""
        known = self._aliases.get(topic)
        if known is not None and chance.random() < 0.7:
            return f"- alias={known}"
        if known is None and len(self._aliases) < self._alias_max and chance.random() < 0.3:
            known = self._aliases[topic] = len(self._aliases) + 1
        return topic if known is None else f"{topic} alias={known}"

    def subscribe(self, chance: random.Random) -> None:
        """Add a filter, or ask for one again."""
        if not self.connected or self._asked:
            return
        filter = chance.choice(FILTERS)
        # Who may be gone for good takes nothing from others in a way that could lose it (MQTT 5.0 §4.8.2).
        stays = self._expiry_s == NEVER_EXPIRES and not self.clean
        qos = 1 if filter.startswith("$") and not stays else chance.choice((1, 2, 2))
        if filter in self._filters and (filter.startswith("$") or chance.random() < 0.7):
            return
        self._subscribe(filter, max(qos, self._filters.get(filter, 0)))

    def _subscribe(self, filter: str, qos: int) -> None:
        packet_id = self._next_id()
        self._asked[packet_id] = ("SUBSCRIBE", filter, qos, self._values.now(), self._ledger.rights.epoch)
        if filter == SHARED:
            self._shared.may_take(is_shared)
            self._shared.tries += 1
        elif not filter.startswith("$"):
            self._holder.may_take(_wish({filter: qos}, 0))
            for topic in TOPICS:
                if matches(filter, topic):
                    self._asked_at.setdefault(topic, []).append(self._values.now())
                    if self._packet_max:
                        # What is too large for it dies in its session, once more each time that it is asked for.
                        self._values.tell_once_more(topic)
        self._write(f"SUBSCRIBE {packet_id} {filter} qos={qos}")

    def ask_last(self) -> None:
        """Ask for the last values of all topics."""
        if self.connected and not self.asks_last and not self._asked:
            self.asks_last = True
            self._subscribe("t/#", 1)

    def unsubscribe(self, chance: random.Random) -> None:
        """Take one back."""
        if not self.connected or not self._filters or self._asked:
            return
        filter = chance.choice(sorted(self._filters))
        packet_id = self._next_id()
        del self._filters[filter]
        self._due.clear()
        if filter == SHARED:
            self._leave_group()
        elif not filter.startswith("$"):
            self._holder.take_less(self._wishes())
        self._asked[packet_id] = ("UNSUBSCRIBE", filter, 0, 0, 0)
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

    def talk_nonsense(self, chance: random.Random) -> None:
        """Say what ends the connection."""
        if self.connected and self.connection is not None:
            self._say(f"{self.name} > nonsense")
            self.connection.say(chance.choice(GARBAGE))
            self.doomed = True

    def leave(self, chance: random.Random) -> None:
        """Disconnect, one way or the other."""
        connection = self.connection
        if connection is None:
            return
        how = chance.choice(("in order", "closes", "breaks"))
        self._say(f"{self.name} leaves: {how}")
        if how == "in order" and self.connected:
            self._write("DISCONNECT")
            self._in_order = True
            connection.leave()
        elif how == "closes":
            connection.leave()
        else:
            connection.break_off()
        self._ended(connection)

    def refused(self) -> None:
        """It was sent away: MQTT 3.1.1 has no other word for what finds no room, and the client repeats it each time, so
        that it never comes to what waits for itself.  Somebody begins anew some time."""
        self._refusals += 1
        if self.version == 4 and self._refusals > REFUSALS_MAX:
            self._say(f"{self.name} gives up {sorted(self._sent)}, and its session")
            self.clean = self._holder.lossy = True

    @property
    def idle(self) -> bool:
        """Does it wait for nothing?"""
        waits = self._sent or self._asked or self._owed or self._due
        return self.connected and not waits and not self.doomed

    @property
    def unanswered(self) -> bool:
        """Does it wait for an answer?"""
        return self.connected and bool(self._sent or self._asked)

    def waits_for(self) -> str:
        """For people."""
        state = (
            f"sent {sorted(self._sent)}, asked {self._asked}, owes {len(self._owed)}, due {sorted(self._due)}"
        )
        return f"{self.name}: connected {self.connected}, doomed {self.doomed}, {state}"

    # -- the wire

    def _next_id(self) -> int:
        while True:
            self._packet_id = self._packet_id % 200 + 1
            if self._packet_id not in self._sent and self._packet_id not in self._asked:
                return self._packet_id

    def _write(self, words: str) -> None:
        self._say(f"{self.name} > {words[:70]}")
        if self.connection is not None and not self.doomed:
            self.connection.say(mqtt_text.write(words, self.version))

    def _ended(self, connection: Connection, leaves: bool = True) -> None:
        if self.connection is not connection:
            return
        self._say(f"{self.name} is disconnected")
        if leaves:
            connection.leave()
        if self.connected and self._clock.served_s() - self._opened_s > NOTED_S:
            # Where the gateway has ended it, that may have been long ago.
            self._left = (0 if connection.given_up else self._clock.us, self._clock.served_changes)
        self.connection = None
        self.connected = False
        if self._has_will:
            self.wills[-1].left(self._in_order)
        self._in_order = False
        self._owed.clear()
        self._due.clear()
        self._aliases.clear()
        self._unfinished.clear()
        for kind, filter, *_ in self._asked.values():
            # Whether it was carried out nobody knows.
            self._filters.pop(filter, None)
            self._say(f"{self.name} does not know of {kind} {filter}")
        if self._asked:
            self._holder.take(self._wishes())
            self._asked.clear()
        if self._expiry_s != NEVER_EXPIRES:
            # From some moment on it may be gone.
            self._holder.take_nothing()

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
            self._unfinished.discard(packet.packet_id)
            self._write(f"PUBCOMP {packet.packet_id}")
        elif isinstance(packet, (Suback, Unsuback)):
            self._answered(packet.packet_id, packet.codes)

    def _welcomed(self, connack: Connack) -> None:
        if connack.code:
            return
        self.connected = True
        if self._has_will:
            self.wills[-1].told()
        self._send_window = 65_535
        self._alias_max = 0
        if self.version == 5 and connack.properties is not None:
            self._send_window = connack.properties.receive_maximum or 65_535
            self._alias_max = connack.properties.topic_alias_maximum or 0
        if self.clean and connack.session_present:
            raise Violation(f"{self.name} has begun a session anew, and is told that there is one")
        if self._kept and not connack.session_present and self._surely_kept():
            raise Violation(f"the session of {self.name} is not there any more")
        if connack.session_present:
            self._holder.take(self._wishes())
        else:
            self._begin_again()
        self._known = {key: copy for key, copy in self._known.items() if connack.session_present}
        for packet_id, (sent, received) in list(self._sent.items()):
            if received:
                self._write(f"PUBREL {packet_id}")
            else:
                self._repeat(packet_id, sent)

    def _surely_kept(self) -> bool:
        """Has its session still time?"""
        if self._expiry_s == NEVER_EXPIRES:
            return True
        us, changes = self._left
        return changes == self._clock.served_changes and self._clock.us - us < self._expiry_s * 1_000_000

    def _repeat(self, packet_id: int, sent: Sent) -> None:
        """Nobody has confirmed it: send it again (MQTT 5.0 §4.4)."""
        self._ledger.repeated(sent)
        if sent is self._ledger.nothing:
            setting = self._settings[packet_id]
            self._write(f"PUBLISH {setting.topic} retain qos=1 dup id={packet_id}")
            return
        words = f"qos={sent.qos} dup id={packet_id} {'retain ' if sent.retains else ''}"
        if sent.life_s:
            words += f"life={sent.life_s} "
        self._write(f"PUBLISH {topic_of(sent.target)} {words}{sent.body}")

    def _confirmed(self, packet_id: int, code: int) -> None:
        sent, received = self._sent.pop(packet_id)
        setting = self._settings.pop(packet_id, None)
        if received:
            return
        if code >= 0x80:
            if not sent.others and sent is not self._ledger.nothing:
                # It has arrived nowhere.
                sent.state = NEVER
            return
        if sent.life_s:
            sent.expires_s = self._clock.served_s() + sent.life_s
        if setting is not None:
            self._values.confirm(setting)
        # Before MQTT 5 what may not be sent is acknowledged too (MQTT 3.1.1 §3.3.5).
        taken = self.version == 5 or self._ledger.rights.surely_taken(sent)
        if sent is not self._ledger.nothing and taken:
            self._ledger.confirmed(sent)

    def _answered(self, packet_id: int, codes: list[int]) -> None:
        kind, filter, qos, asked, epoch = self._asked.pop(packet_id)
        if kind != "SUBSCRIBE" or codes[0] >= 0x80:
            return
        self._ledger.rights.granted(target_of(filter), epoch, self.name)
        self._filters[filter] = qos
        self._kept = not self.clean
        if filter == SHARED:
            if self._expiry_s == NEVER_EXPIRES and not self.clean:
                self._shared.members.add(self.name)
                self._shared.take(is_shared)
        elif not filter.startswith("$"):
            self._holder.take(self._wishes())
            # Some may have come before the answer only if it had asked before; they count.
            self._due |= self._values.due([topic for topic in TOPICS if matches(filter, topic)], asked)

    def _leave_group(self) -> None:
        """It may be the last that keeps the shared subscription."""
        self._shared.members.discard(self.name)
        if not self._shared.members:
            self._shared.forget()

    def _got(self, publish: Publish) -> None:
        body = publish.payload().decode()
        if publish.qos:
            self._unfinished.add(publish.packet_id)
            if len(self._unfinished) > self._window:
                raise Violation(f"{self.name} takes {self._window} at once, and gets one more")
        if publish.qos == 2 and publish.packet_id in self._known:
            copy = self._known[publish.packet_id]
            if body and copy.sent is not self._ledger.find(body):
                raise Violation(f"{self.name}: packet id {publish.packet_id} is used twice at once")
        else:
            copy = self._copy_of(publish, body)
            if publish.qos == 2:
                self._known[publish.packet_id] = copy
        if publish.qos == 0:
            copy.acknowledged = True
            return
        self._look_at_order(publish, copy.sent)
        self._owed.append((publish, copy))
        if self.prompt:
            while self._owed and self.connected:
                self._settle(*self._owed.pop(0))

    def _copy_of(self, publish: Publish, body: str) -> Copy:
        """What it is a copy of.  Raises Violation."""
        topic = publish.topic
        if publish.topic_alias > self._aliases_taken:
            raise Violation(
                f"{self.name} takes {self._aliases_taken} aliases, and gets {publish.topic_alias}"
            )
        if not body:
            if not self._values.was_cleared(topic) or publish.retain:
                raise Violation(f"{self.name}: nobody has cleared {topic}")
            return Copy(self._ledger.nothing)
        sent = self._ledger.find(body)
        if target_of(topic) not in sent.targets:
            raise Violation(f"{self.name}: {sent} came as {topic}")
        if not publish.dup:
            # Else its delivery had begun before, which ends only with an acknowledgement (MQTT 5.0 §3.3.2.3.3, §4.4).
            sent.look_at_time(self._clock.served_s(), self._opened_s, self._clock.served_offset_s)
        if publish.retain:
            # It may be what was asked for longest ago, or, again, what was told before.
            asked = self._asked_at.get(topic)
            self._values.look_at(topic, sent, asked.pop(0) if asked and not publish.dup else 0)
            self._due.discard(topic)
            return Copy(sent)
        late = self.connection is None or self.connection.is_ended
        # What was sent at another QoS may overtake (MQTT 5.0 §4.6).
        reader = f"{self.name} at QoS {publish.qos}"
        if topic.startswith(QUEUE_PREFIX):
            # That another reader has had it before, MQTT has no word for: it may come behind later ones.
            holder = self._ledger.holder(f"queue {topic.removeprefix(QUEUE_PREFIX)}")
            return holder.received(body, reader, True, False, flagged=False, late=late)
        if topic == SHARED_TOPIC:
            return self._shared.received(body, reader, True, False, flagged=False, late=late)
        return self._holder.received(
            body, reader, publish.dup, publish.qos == 2, flagged=publish.qos > 0, late=late
        )

    def _look_at_order(self, publish: Publish, sent: Sent) -> None:
        """What comes again comes in the order in which it came first [MQTT-4.6.0-1], as far as the gateway can know it."""
        if publish.retain or sent is self._ledger.nothing:
            # It comes once more each time that it is asked for, or cleared: which of these comes again, nobody can tell.
            return
        key = (self._ledger.life, sent.uid, publish.topic)
        place = self._came.setdefault(key, len(self._came) + 1)
        if publish.dup and not sent.others:
            if place < self._repeated_to:
                raise Violation(f"{self.name}: {sent} is sent again after what came first after it")
            self._repeated_to = place

    def _settle(self, publish: Publish, copy: Copy) -> None:
        copy.acknowledged = True
        if publish.qos == 1:
            self._unfinished.discard(publish.packet_id)
        self._write(f"{'PUBREC' if publish.qos == 2 else 'PUBACK'} {publish.packet_id}")

    def _wishes(self) -> Callable[[Sent], bool]:
        """What it certainly gets: what is guarded may be taken from it."""
        wish = _wish(self._filters, self._packet_max)
        return lambda sent: sent.topic != GUARDED_TOPIC and wish(sent)


NOTED_S: Final = 1.0
"""A connection is told that it is there before that is on the disk, so a crash right then leaves the time of the last."""

PACKET_HEAD_MAX: Final = 100
"""Bytes of a PUBLISH beside its body: topic, properties."""


def is_shared(sent: Sent) -> bool:
    """Does the group want it?"""
    return sent.topic == SHARED_TOPIC


def _wish(filters: dict[str, int], packet_max: int) -> Callable[[Sent], bool]:
    """Takes what one of them matches, and is kept; with a limit, only what is sure to be within it."""
    mine = dict(filters)
    body_max = packet_max - PACKET_HEAD_MAX if packet_max else 1 << 30
    return lambda sent: len(sent.body) <= body_max and any(matches(filter, sent.topic) for filter in mine)
