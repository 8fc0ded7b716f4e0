"""The end of a turn of the loop, and the core's chores between two looks at the sockets."""

import asyncio
from collections.abc import Callable

from gateway.core.chores import Chore
from gateway.net.turn import Caretaker, Flusher


class Loop:
    """Of a loop what is to be called soon."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)


class Endless(Chore):
    """Goes on until it is told to stop."""

    def __init__(self) -> None:
        self.steps = 0
        self.stopped = False

    def go_on(self) -> bool:
        self.steps += 1
        return not self.stopped


class Broken(Chore):
    def go_on(self) -> bool:
        raise ValueError


async def test_a_turn_has_one_end_however_often_is_written_before_it(net) -> None:
    loop = Loop()
    flusher = Flusher(loop, net.machinery.clock, net.machinery.broker)
    connector = net.acceptor.accept("somebody", flusher.turn, 0)
    for _ in range(3):
        # As when the store has confirmed something: what others have marked is written with it.
        flusher.turn.mark(connector)
        flusher.flush()
    assert len(loop.soon) == 1
    flusher.turn.mark(connector)
    assert len(loop.soon) == 1
    loop.soon.pop()()
    assert not connector.marked
    flusher.turn.mark(connector)
    assert len(loop.soon) == 1


async def test_clients_are_answered_while_a_chore_goes_on(net) -> None:
    broker = net.machinery.broker
    Caretaker(asyncio.get_running_loop(), net.machinery.clock, broker)
    endless = Endless()
    broker.chores.add(Broken())
    broker.chores.add(endless)
    assert endless.steps == 0
    reader, writer = await net.client()
    for _ in range(3):
        before = endless.steps
        writer.write(b"hello\n")
        assert await reader.readline() == b"ok hello\n"
        await net.until(lambda before=before: endless.steps > before)
    endless.stopped = True
    await net.until(lambda: not broker.chores)


async def test_at_the_end_all_that_is_left_is_done_at_once(net) -> None:
    broker = net.machinery.broker
    caretaker = Caretaker(asyncio.get_running_loop(), net.machinery.clock, broker)
    endless = Endless()
    broker.chores.add(Broken())
    broker.chores.add(endless)
    endless.stopped = True
    caretaker.finish()
    broker.chores.add(endless)
    assert (endless.steps, len(broker.chores)) == (2, 0)
