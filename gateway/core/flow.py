"""Back-pressure towards publishers: gates at which they wait for room, and the valves that stop reading from them."""

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from gateway.core.looking import Look

LET_IN_MAX: Final = 32
"""Publishers that one gate lets go on at a time: how much each of them has to say is seen only then."""

# What is waited for at a gate.
SOMETHING: Final = 0
ROOM: Final = 1
"""Room in a queue: others have to take something away."""
LOOK: Final = 2
"""That it is looked whether there is room: what the publisher has to say is not said yet."""


class Valve:
    """What can stop reading from a publisher's socket: its connector."""

    __slots__ = ()

    def throttle(self, shut: bool) -> None:
        """Stop (True) or go on (False) handling what the publisher sends, between two of its frames.

        Whoever goes on calls `Publisher.went_on` when what had come before is handled, or waits again.
        """
        raise NotImplementedError

    def suspend(self) -> None:
        """Confirm nothing to the publisher before as many calls of `resume`."""
        raise NotImplementedError

    def resume(self) -> None:
        """See `suspend`."""
        raise NotImplementedError

    def tire(self) -> None:
        """What the publisher says takes long, for it is for many, or for a name that is new: look whether it has had its
        share of this turn."""

    def cut_off(self, why: str) -> None:
        """End the connection: something that the publisher sent is lost, so nothing is confirmed to it any more."""
        raise NotImplementedError


@final
class Publisher:
    """Who sent a message: the identity that no-local compares, and the way back to its valve.

    Messages keep their publisher; a connection that ends takes its valve away, so a queued message does not
    keep a dead connection in memory.
    """

    __slots__ = ("_behind", "_let_in", "address", "client_id", "id", "looks", "overdue", "user", "valve")

    def __init__(self, id: str, valve: Valve | None) -> None:
        self.id = id
        """Client id, else that of the connection; what is known of it after a restart."""
        self.user: str | None = None
        self.client_id = ""
        """The id that the client gives itself, for rules; empty for none."""
        self.address = ""
        """Where it comes from, without the port; empty where that is not known."""
        self.valve = valve
        self.overdue = False
        """Others have waited too long for it, while it waited for room: what it says next waits no longer."""
        self.looks: dict[str, Look] | None = None
        """What is known of the room on its way to topics with very many subscribers, by name, until it has published."""
        # The gates that make it wait, and those that have let it in and look on what it does.
        self._behind: dict[Gate, None] | None = None
        self._let_in: list[Gate] | None = None

    def is_also(self, other: "Publisher | None") -> bool:
        """Is that the same client: this connection, or one of the same user that gives itself the same id?

        So no-local holds over connections and restarts (MQTT 5.0 §3.8.3.1; JMS 2.0 createDurableConsumer).
        """
        if other is None or other is self:
            return other is self
        return self.client_id != "" and other.id == self.client_id and other.user == self.user

    @property
    def held(self) -> bool:
        """Is any gate making it wait?"""
        return self._behind is not None

    def hold(self, gate: "Gate") -> None:
        """One more gate makes it wait.  For gates."""
        behind = self._behind
        if behind is not None:
            behind[gate] = None
            return
        self._behind = {gate: None}
        if self.valve is not None:
            self.valve.throttle(True)

    def release(self, gate: "Gate") -> bool:
        """One gate fewer; True when it goes on, and `went_on` will be called.  For gates."""
        behind = self._behind
        assert behind is not None
        del behind[gate]
        if behind:
            return False
        self._behind = None
        if self.valve is None:
            return False
        if self._let_in is None:
            self._let_in = []
        self._let_in.append(gate)
        self.valve.throttle(False)
        return True

    def wait_no_longer(self) -> bool:
        """What it has to say next is taken or refused, whatever room there is; False where it did not wait for room."""
        behind = self._behind
        rooms = [] if behind is None else [gate for gate in behind if gate.kind == ROOM]
        if behind is None or not rooms:
            return False
        self.overdue = True
        for gate in rooms:
            gate.forget(self)
            del behind[gate]
        if not behind:
            self._behind = None
            if self.valve is not None:
                self.valve.throttle(False)
        return True

    def went_on(self) -> None:
        """What it had to say is said, or waits at a gate again: it is the turn of those behind it."""
        if self.overdue:
            behind = self._behind
            self.overdue = behind is not None and LOOK in [gate.kind for gate in behind]
        gates = self._let_in
        if gates is not None:
            self._let_in = None
            for gate in gates:
                gate.passed()

    def leave(self) -> None:
        """Its connection is over: it waits nowhere, and nobody waits for it."""
        self.valve = None
        self.looks = None
        gates = self._behind
        if gates is not None:
            self._behind = None
            for gate in gates:
                gate.forget(self)
        self.went_on()


def tire(publisher: Publisher | None) -> None:
    """It has published to many, or to a name that is new: see Valve.tire."""
    if publisher is not None and publisher.valve is not None:
        publisher.valve.tire()


@final
class Places:
    """Where publishers wait, all over the broker."""

    __slots__ = ("shut",)

    def __init__(self) -> None:
        self.shut = 0
        """How many there are: while there are any, whoever publishes asks `Broker.keeps_waiting` before."""


@final
class Gate:
    """Publishers that wait for room at one place (a full queue, a slow subscriber), first come first served.

    The place calls `let_in` when there is room.  Only some are let in at a time; when one of them has had its turn,
    `again` is called, so that the place can look whether there is room for more.  Nobody is forgotten: as long as
    there is room, each that goes on makes way for the next.
    """

    __slots__ = ("_again", "_going", "_open", "_waiting", "kind")

    def __init__(self, again: Callable[[], None], kind: int = SOMETHING) -> None:
        self._again = again
        self.kind = kind
        """What is waited for here."""
        # All may go on, some at a time all the same.
        self._open = False
        # Those that were let in and have not had their turn.
        self._going = 0
        self._waiting: OrderedDict[Publisher, None] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def hold(self, publisher: Publisher | None) -> bool:
        """Make `publisher` wait; once is enough.  False for who cannot be stopped: nobody, or one that has gone."""
        if publisher is None or publisher.valve is None:
            return False
        if publisher not in self._waiting:
            self._waiting[publisher] = None
            publisher.hold(self)
        return True

    def let_in(self) -> None:
        """There is some room: let those go on that have waited longest."""
        waiting = self._waiting
        while waiting and self._going < LET_IN_MAX:
            publisher = waiting.popitem(last=False)[0]
            # One that other gates hold has its turn when they let it go; nobody here waits for that.
            self._going += 1
            if not publisher.release(self):
                self._going -= 1

    def open(self) -> None:
        """The place is gone, or has room for everybody: let all of them go on, and ask it no more."""
        self._open = True
        self.let_in()

    def passed(self) -> None:
        """One that was let in has had its turn.  For Publisher."""
        self._going -= 1
        if self._open:
            self.let_in()
        else:
            self._again()

    def forget(self, publisher: Publisher) -> None:
        """It does not wait any more.  For Publisher."""
        self._waiting.pop(publisher, None)


def nobody_is_next() -> None:
    """For a gate at which each waits for something of its own: whoever has had its turn makes way for nobody."""


class Place:
    """Where publishers wait for room: its gate is there, and it counts among `Places`, from the first that
    comes until there is room for all of them."""

    __slots__ = ("_gate", "_places")

    def __init__(self, places: Places) -> None:
        self._places = places
        self._gate: Gate | None = None

    def again(self) -> None:
        """There may be room, or somebody that was let in has had its turn: let publishers go on if there is some."""
        raise NotImplementedError

    def shut_changed(self, shut: bool) -> None:
        """`shut` is True from now on, or is no more."""

    @final
    @property
    def shut(self) -> bool:
        """Does anybody wait, or did, and nobody has looked since whether there is room?"""
        return self._gate is not None

    @final
    @property
    def waiting(self) -> int:
        """How many wait: of who was kept out some may have left."""
        gate = self._gate
        return 0 if gate is None else gate.waiting

    @final
    def keep_out(self, publisher: Publisher | None) -> bool:
        """Have it wait until there is room; False for who cannot be stopped."""
        gate = self._gate
        if gate is None:
            gate = self._gate = Gate(self.again, ROOM)
            self._places.shut += 1
            self.shut_changed(True)
        return gate.hold(publisher)

    @final
    def let_in(self) -> None:
        """There is some room: let those go on that have waited longest."""
        gate = self._gate
        if gate is not None:
            gate.let_in()
            if not gate.waiting:
                self._forget_gate()

    @final
    def let_all_in(self) -> None:
        """There is room for everybody, or none for anybody any more."""
        gate = self._gate
        if gate is not None:
            self._forget_gate()
            gate.open()

    @final
    def _forget_gate(self) -> None:
        self._gate = None
        self._places.shut -= 1
        self.shut_changed(False)
