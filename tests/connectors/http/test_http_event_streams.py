"""A stream of events goes on where it broke, or says what is missing (WHATWG HTML §9.2.4, Last-Event-ID)."""

import json
from typing import Any

import h11
import pytest
from http_client import HttpClient, World
from test_http_connector import Rules, basic

from gateway.connectors.base import Limits
from gateway.connectors.http.settings import HttpSettings
from gateway.core.destination import Destination
from gateway.core.flow import Publisher
from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.ports import Authorizer
from gateway.core.router import Broker
from gateway.store.memory import MemoryStore


class Source:
    """EventSource, as the standard has it: bodies that came, gaps, and the last id."""

    def __init__(self, world: World, query: str = "destination=topic:a.>") -> None:
        self.world = world
        self.query = query
        self.last_id: str | None = None
        self.got: list[Any] = []
        self.gaps: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.client: HttpClient | None = None

    def open(self, **headers: str) -> "Source":
        """Connect, the first time or again."""
        self.client = self.world.client()
        if self.last_id is not None:
            headers["Last_Event_ID"] = self.last_id
        self.client.send("GET", "/events?" + self.query, **headers)
        return self.read()

    def read(self) -> "Source":
        """Take what has come."""
        assert self.client is not None
        data = self.client.written()
        if not data:
            return self
        self.client.h11.receive_data(data)
        data = b""
        while isinstance(event := self.client.h11.next_event(), h11.Response | h11.Data):
            if isinstance(event, h11.Data):
                data += event.data
        for block in data.decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
            if "id" in fields:
                self.last_id = fields["id"]
            if "data" in fields:
                said = json.loads(fields["data"])
                if fields.get("event") == "gap":
                    self.gaps.append(said)
                else:
                    self.got.append(said["body"])
                    self.ids.append(fields["id"])
        return self

    def break_off(self) -> None:
        """The connection is gone, with what was on its way."""
        assert self.client is not None
        self.client.written()
        self.client.connector.eof(self.world.now_ms)


def say(world: World, *bodies: str, topic: str = "a.b") -> None:
    for body in bodies:
        assert world.once("POST", f"/topics/{topic}", body.encode(), Content_Type="text/plain").status == 202


def test_what_came_meanwhile_comes_after_the_reconnect() -> None:
    world = World()
    source = Source(world).open()
    say(world, "1", "2")
    source.read().break_off()
    say(world, "3", "4")
    source.open()
    say(world, "5")
    assert source.read().got == ["1", "2", "3", "4", "5"]
    assert source.gaps == []
    numbers = [int(id.rpartition(".")[2]) for id in source.ids]
    assert numbers == [1, 2, 3, 4, 5]


def test_what_was_on_its_way_comes_again() -> None:
    world = World()
    source = Source(world).open()
    say(world, "1")
    source.read()
    say(world, "2")
    source.break_off()
    assert source.open().got == ["1", "2"]


def test_who_had_got_nothing_yet_goes_on_too() -> None:
    world = World()
    source = Source(world).open()
    assert source.last_id is not None
    source.break_off()
    say(world, "1")
    assert source.open().got == ["1"]


def test_a_client_that_comes_again_before_its_end_was_noticed_takes_over() -> None:
    world = World()
    source = Source(world).open()
    old = source.client
    say(world, "1")
    source.open()
    assert old is not None
    assert old.connector.closing
    say(world, "2")
    assert source.read().got == ["1", "2"]
    old.connector.eof(world.now_ms)
    say(world, "3")
    assert source.read().got == ["1", "2", "3"]
    assert world.broker.topics.bindings_count == 1


def test_it_may_break_again_and_again() -> None:
    world = World()
    source = Source(world).open()
    for n in range(5):
        say(world, str(n))
        source.break_off()
        say(world, str(n) + "b")
        source.open()
    assert source.got == [text for n in range(5) for text in (str(n), f"{n}b")]


@pytest.mark.parametrize("last_id", ["17", "x.1", "", "x" * 500])
def test_an_id_that_is_not_known_is_a_gap(last_id: str) -> None:
    source = Source(World())
    source.last_id = last_id
    source.open()
    [gap] = source.gaps
    assert gap["reason"]
    assert "." in (source.last_id or "")


def test_an_id_that_was_not_given_yet_is_a_gap() -> None:
    world = World()
    source = Source(world).open()
    name = (source.last_id or "").rpartition(".")[0]
    for digits in ("1", "-1", "9" * 30, "x", ""):
        other = Source(world)
        other.last_id = f"{name}.{digits}"
        assert len(other.open().gaps) == 1


def test_after_its_time_it_is_a_gap_and_nothing_is_left() -> None:
    world = World()
    source = Source(world).open()
    source.break_off()
    world.advance(59_999)
    assert (world.service.trails.broken, world.broker.topics.bindings_count) == (1, 1)
    say(world, "1")
    world.advance(1)
    assert (world.service.trails.broken, world.broker.topics.bindings_count) == (0, 0)
    assert world.service.trails.bytes == 0
    source.open()
    assert (len(source.gaps), source.got) == (1, [])


@pytest.mark.parametrize(
    "settings",
    [
        HttpSettings(event_kept_max=2),
        HttpSettings(event_kept_bytes_max=2 * 513),
        HttpSettings(event_kept_total_bytes_max=2 * 513),
    ],
)
def test_more_than_is_kept_is_a_gap_of_so_many(settings: HttpSettings) -> None:
    world = World(settings=settings)
    source = Source(world).open()
    source.break_off()
    say(world, "1", "2", "3", "4", "5")
    source.open()
    assert [gap["missing"] for gap in source.gaps] == [3]
    assert source.got == ["4", "5"]
    # Just as many as are kept is no gap.
    source.break_off()
    say(world, "6", "7")
    assert source.open().got == ["4", "5", "6", "7"]
    assert len(source.gaps) == 1


def test_streams_whose_time_runs_out_at_once_are_forgotten_one_a_step() -> None:
    world = World()
    for _ in range(3):
        Source(world).open().break_off()
    world.broker.chores.driven_by(lambda: None)
    world.advance(60_000)
    # Another tick before the first step changes nothing.
    world.service.tick(world.now_ms)
    assert len(world.broker.chores) == 1
    broken = [world.service.trails.broken]
    while world.broker.chores:
        world.broker.chores.step()
        broken.append(world.service.trails.broken)
    assert broken == [3, 2, 1, 0]
    assert world.broker.topics.bindings_count == 0


def test_streams_that_are_kept_are_bounded_the_oldest_gives_way() -> None:
    world = World(settings=HttpSettings(event_streams_max=1))
    sources = [Source(world).open() for _ in range(2)]
    for source in sources:
        source.break_off()
    assert world.service.trails.broken == 1
    assert [len(source.open().gaps) for source in sources] == [1, 0]


def test_nothing_is_kept_where_nothing_may_be() -> None:
    world = World(settings=HttpSettings(event_kept_ms=0))
    source = Source(world).open()
    source.break_off()
    assert (world.service.trails.broken, world.broker.topics.bindings_count) == (0, 0)
    assert len(source.open().gaps) == 1


def test_what_cannot_be_asked_for_again_is_not_kept_while_it_is_sent() -> None:
    world = World(settings=HttpSettings(event_kept_ms=0))
    source = Source(world).open()
    world.once("POST", "/topics/a.b", b"1")
    assert source.read().got
    assert world.service.trails.bytes == 0


def test_a_stream_is_its_users_own() -> None:
    world = World(authorizer=Rules())
    source = Source(world).open(Authorization=basic("u:p"))
    source.break_off()
    say(world, "1")
    thief = Source(world)
    thief.last_id = source.last_id
    thief.open(Authorization=basic("v:p"))
    assert (thief.got, len(thief.gaps)) == ([], 1)
    assert source.open(Authorization=basic("u:p")).got == ["1"]


def test_other_destinations_are_another_stream() -> None:
    world = World()
    source = Source(world).open()
    source.break_off()
    source.query = "destination=topic:b"
    assert len(source.open().gaps) == 1


def test_the_order_of_destinations_does_not_matter() -> None:
    world = World()
    source = Source(world, "destination=topic:a&destination=topic:b").open()
    source.break_off()
    source.query = "destination=topic:b&destination=topic:a"
    assert source.open().gaps == []


class Closing(Authorizer):
    """Nobody receives from `a.secret` once it is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.restricts_receive = True
        self.shut = False

    def may_receive(self, publisher: Publisher, destination: Destination) -> bool:
        return not (self.shut and destination.name == "a.secret")


def test_rules_that_changed_meanwhile_hold() -> None:
    rules = Closing()
    world = World(authorizer=rules)
    source = Source(world).open()
    source.break_off()
    say(world, "1")
    say(world, "hidden", topic="a.secret")
    rules.shut = True
    assert source.open().got == ["1"]


def test_what_has_expired_meanwhile_does_not_come() -> None:
    world = World()
    source = Source(world).open()
    source.break_off()
    world.once("POST", "/topics/a.b", b"short", Content_Type="text/plain", X_Mx_Ttl="1000")
    say(world, "1")
    world.advance(1_000)
    assert source.open().got == ["1"]


def test_last_values_come_once_or_again_when_they_were_cut_short() -> None:
    world = World()
    world.once("POST", "/topics/a.b?retain=true", b"kept", Content_Type="text/plain")
    source = Source(world, "destination=topic:a.>&retained=true").open()
    source.break_off()
    assert source.open().got == ["kept"]


def test_many_last_values_that_were_cut_short_begin_anew() -> None:
    world = World(limits=Limits(output_buffer=4_096))
    for n in range(200):
        world.once("POST", f"/topics/a.{n}?retain=true", str(n).encode(), Content_Type="text/plain")
    source = Source(world, "destination=topic:a.>&retained=true").open()
    assert 0 < len(source.got) < 200
    source.break_off()
    source.open()
    for _ in range(400):
        world.broker.chores.step()
        source.read()
    assert {str(n) for n in range(200)} == set(source.got)


def test_what_is_kept_never_overflows_the_buffer_of_who_comes_again() -> None:
    world = World(limits=Limits(output_buffer=65_536))
    source = Source(world).open()
    source.break_off()
    say(world, *["x" * 1_000 for _ in range(200)])
    source.open()
    assert len(source.got) + source.gaps[0]["missing"] == 200
    assert source.client is not None
    assert source.client.connector.counters.dropped_slow == 0


def test_a_stream_that_cannot_be_kept_is_forgotten() -> None:
    broker = Broker(MemoryStore(), Authorizer(), CoreLimits(subscriptions_max=2), QueuePolicy())
    world = World(broker=broker)
    source = Source(world, "destination=topic:a&destination=topic:b").open()
    assert source.client is not None
    broker.limits.subscriptions_max = 1
    source.break_off()
    assert (world.service.trails.broken, broker.topics.bindings_count) == (0, 0)


def test_a_stop_leaves_nothing() -> None:
    world = World()
    source = Source(world).open()
    assert source.client is not None
    source.client.connector.shutdown(world.now_ms)
    source.break_off()
    world.service.close(world.now_ms)
    assert world.broker.topics.bindings_count == 0
