"""gateway/core/flow.py"""

from core_doubles import COMPILED, needs_outlet

from gateway.core.flow import LET_IN_MAX, LOOK, ROOM, Gate, Publisher

if not COMPILED:
    from core_doubles import LogValve


def no_more() -> None:
    """Nobody looks again."""


@needs_outlet
def test_the_valve_turns_with_the_first_gate_and_the_last_release() -> None:
    valve = LogValve()
    publisher = Publisher("p", valve)
    gates = [Gate(no_more), Gate(no_more)]
    for gate in gates * 2:
        assert gate.hold(publisher)
    assert valve.turns == [True]
    gates[0].let_in()
    assert publisher.held
    gates[1].let_in()
    assert valve.turns == [True, False]
    assert not publisher.held


@needs_outlet
def test_a_gate_that_opens_lets_all_go_on_some_at_a_time_without_asking_its_place() -> None:
    asked: list[int] = []
    gate = Gate(lambda: asked.append(1))
    valves = [LogValve() for _ in range(2 * LET_IN_MAX)]
    publishers = [Publisher("p", valve) for valve in valves]
    for publisher in publishers * 3:
        gate.hold(publisher)
    gate.open()
    gate.open()
    assert [publisher.held for publisher in publishers] == [False] * LET_IN_MAX + [True] * LET_IN_MAX
    for publisher in publishers:
        publisher.went_on()
    assert asked == []
    assert [valve.turns for valve in valves] == [[True, False]] * len(valves)


@needs_outlet
def test_those_that_wait_longest_go_on_first_and_make_way_for_the_next() -> None:
    again: list[int] = []
    gate = Gate(lambda: again.append(gate.waiting))
    publishers = [Publisher(str(number), LogValve()) for number in range(LET_IN_MAX + 3)]
    for publisher in publishers:
        gate.hold(publisher)
    gate.let_in()
    assert [publisher.held for publisher in publishers] == [False] * LET_IN_MAX + [True] * 3
    # Nobody else is let in before one of them has had its turn.
    gate.let_in()
    assert gate.waiting == 3
    publishers[5].went_on()
    assert again == [3]
    gate.let_in()
    assert not publishers[LET_IN_MAX].held
    assert gate.waiting == 2
    # It has had its turn; saying so again changes nothing.
    publishers[5].went_on()
    assert again == [3]


@needs_outlet
def test_one_that_another_gate_holds_is_not_waited_for() -> None:
    gate, other = Gate(no_more), Gate(no_more)
    for _ in range(LET_IN_MAX):
        publisher = Publisher("p", LogValve())
        gate.hold(publisher)
        other.hold(publisher)
    free = Publisher("free", LogValve())
    gate.hold(free)
    gate.let_in()
    assert not free.held


def test_a_gate_lets_pass_who_cannot_be_stopped() -> None:
    gate = Gate(no_more)
    gone = Publisher("p", None)
    assert not gate.hold(gone)
    assert not gate.hold(None)
    assert not gone.held
    gate.open()


@needs_outlet
def test_a_publisher_that_goes_while_it_waits_is_forgotten_in_silence() -> None:
    gate = Gate(no_more)
    valve = LogValve()
    publisher = Publisher("p", valve)
    gate.hold(publisher)
    publisher.leave()
    assert gate.waiting == 0
    gate.open()
    assert valve.turns == [True]
    assert not publisher.held


@needs_outlet
def test_a_publisher_that_goes_before_its_turn_makes_way_for_the_next() -> None:
    again: list[int] = []
    gate = Gate(lambda: again.append(gate.waiting))
    publisher = Publisher("p", LogValve())
    gate.hold(publisher)
    gate.let_in()
    publisher.leave()
    assert again == [0]


@needs_outlet
def test_who_waits_for_room_no_longer_goes_on_once_nothing_else_makes_it_wait() -> None:
    valve = LogValve()
    publisher = Publisher("p", valve)
    rooms = [Gate(no_more, ROOM), Gate(no_more, ROOM)]
    store = Gate(no_more)
    store.hold(publisher)
    assert not publisher.wait_no_longer()
    for room in rooms:
        room.hold(publisher)
    assert publisher.wait_no_longer()
    assert publisher.held and publisher.overdue
    assert [room.waiting for room in rooms] == [0, 0]
    store.let_in()
    assert not publisher.held and publisher.overdue
    # To be looked at is not to have said it.
    look = Gate(no_more, LOOK)
    look.hold(publisher)
    publisher.went_on()
    assert publisher.overdue
    look.open()
    publisher.went_on()
    assert not publisher.overdue
    assert valve.turns == [True, False] * 2
