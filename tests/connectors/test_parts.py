"""gateway/connectors/parts.py and the side of Output that writes frames a part at a time."""

from collections import deque

import pytest

import gateway.connectors.output
from gateway.connectors.base import Counters, Limits, Turn
from gateway.connectors.output import Output
from gateway.connectors.parts import BEGINS, ENDS, PART_BYTES, WHOLE, Parts, Pieces, Several
from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.ports import Authorizer
from gateway.core.router import Broker
from gateway.store.memory import MemoryStore

if not str(gateway.connectors.output.__file__).endswith(".py"):
    pytest.skip("needs an interpreted Output, which the compiled rooms do not take", allow_module_level=True)


class Writing(Output):
    """One that notes what it is told."""

    def __init__(self, limits: Limits | None = None) -> None:
        broker = Broker(MemoryStore(), Authorizer(), CoreLimits(), QueuePolicy())
        super().__init__(broker, Turn(lambda: None), limits or Limits(), Counters(), "127.0.0.1:1")
        self.resumptions = 0

    def answers_changed(self) -> None:
        pass

    def congestion_changed(self) -> None:
        pass

    def resumed(self) -> None:
        self.resumptions += 1

    def on_too_slow(self, now_ms: int) -> None:
        self.say(b"too slow")
        self.hang_up()

    def turns(self, most: int = 1_000) -> list[tuple[int, bytes]]:
        """What is written in the turns to come, until there is nothing more: how each is cut, and all of it."""
        written = []
        for _ in range(most):
            marked = self.turn.take()
            if not marked:
                break
            frames = self.bytes_out(0)
            if frames:
                written.append((self.cut, b"".join(frames)))
            self.written()
        return written


class Slow(Parts):
    """One whose parts take their time."""

    def __init__(self, parts: list[bytes]) -> None:
        super().__init__(sum(map(len, parts)))
        self.parts = deque(parts)

    def next(self) -> bytes:
        part = self.parts.popleft()
        self.over = not self.parts
        return part


def test_pieces_are_cut_and_joined_to_parts() -> None:
    pieces = [b"a", memoryview(b"xb" * PART_BYTES)[1:], b"", b"c" * 10]
    frame = Pieces(list(pieces))
    parts = []
    while not frame.over:
        parts.append(frame.next())
    assert b"".join(parts) == b"".join(pieces)
    assert [len(part) for part in parts[:-1]] == [PART_BYTES] * (len(parts) - 1)
    assert frame.size == sum(map(len, pieces))


def test_several_follow_each_other() -> None:
    frame = Several([Slow([b"1", b"", b"2"]), Slow([b"3"])])
    parts = []
    while not frame.over:
        parts.append(frame.next())
    assert parts == [b"1", b"", b"2", b"3"]


def test_what_is_said_behind_a_frame_in_parts_waits_for_it_and_what_was_said_before_does_not() -> None:
    output = Writing()
    output.say(b"before")
    output.push_parts(Slow([b"1", b"", b"2", b"3"]), True)
    output.say(b"behind")
    output.push_parts(Slow([b"4"]), False)
    output.push(b"last")
    assert output.turns() == [
        (WHOLE, b"before"),
        (BEGINS, b"1"),
        (0, b"2"),
        (ENDS, b"3"),
        (WHOLE, b"behind"),
        (BEGINS | ENDS, b"4"),
        (WHOLE, b"last"),
    ]
    assert not output.unwritten
    assert output.out_bytes == output.said_bytes == 0


def test_its_bytes_count_until_it_is_written() -> None:
    output = Writing(Limits(output_buffer=100))
    output.push_parts(Slow([b"x" * 60] * 2), False)
    assert output.congested
    output.push(b"held")
    assert output.turns(1) == [(BEGINS, b"x" * 60)]
    assert output.congested
    assert output.resumptions == 0
    assert output.turns() == [(ENDS, b"x" * 60), (WHOLE, b"held")]
    assert not output.congested
    assert output.resumptions == 1


def test_what_a_slow_client_is_to_have_is_held_whether_in_parts_or_not() -> None:
    output = Writing(Limits(output_buffer=100, slow_consumer="drop-oldest"))
    output.writable(False)
    output.push(b"1" * 60)
    output.push_parts(Slow([b"2" * 40, b"2" * 40]), False)
    output.push(b"3" * 20)
    output.writable(True)
    assert output.turns() == [(BEGINS, b"2" * 40), (ENDS, b"2" * 40), (WHOLE, b"3" * 20)]


@pytest.mark.parametrize("begun", [False, True])
def test_who_reads_too_slowly_is_told_so_unless_that_would_stand_within_a_frame(begun: bool) -> None:
    output = Writing()
    output.say(b"before")
    output.push_parts(Slow([b"1", b"2"]), True)
    output.turns(2 if begun else 0)
    output.give_up(0)
    assert output.turns() == ([] if begun else [(WHOLE, b"beforetoo slow")])
    assert not output.unwritten


@pytest.mark.parametrize("begun", [False, True])
def test_what_stands_behind_a_frame_that_is_given_up_is_given_up_too(begun: bool) -> None:
    """Whoever reads it would take what is missing for something that never was: an end of a body, an event's successor."""
    output = Writing()
    output.say(b"before")
    output.push_parts(Slow([b"1", b"2"]), True)
    output.say(b"behind")
    output.push_parts(Slow([b"3"]), True)
    output.say(b"last")
    output.turns(2 if begun else 1)
    output.give_up(0)
    assert output.turns() == ([] if begun else [(WHOLE, b"too slow")])


def test_answers_in_parts_count_as_answers() -> None:
    output = Writing(Limits(output_buffer=100))
    output.say_parts(Slow([b"x" * 200]))
    assert output.said_bytes > 200
    output.turns()
    assert output.said_bytes == 0
