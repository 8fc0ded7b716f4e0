"""gateway/core/flow.py"""

from core_doubles import COMPILED, needs_outlet

from gateway.core.flow import Gate, Publisher

if not COMPILED:
    from core_doubles import LogValve


@needs_outlet
def test_the_valve_turns_with_the_first_hold_and_the_last_release() -> None:
    valve = LogValve()
    publisher = Publisher("p", valve)
    publisher.hold()
    publisher.hold()
    assert valve.turns == [True]
    publisher.release()
    assert publisher.held
    publisher.release()
    assert valve.turns == [True, False]
    assert not publisher.held


@needs_outlet
def test_a_gate_holds_each_once_and_opens_for_all() -> None:
    gate = Gate()
    valves = [LogValve(), LogValve()]
    publishers = [Publisher("p", valve) for valve in valves]
    for publisher in publishers * 3:
        gate.hold(publisher)
    gate.open()
    gate.open()
    assert [valve.turns for valve in valves] == [[True, False]] * 2


def test_a_gate_lets_pass_who_cannot_be_stopped() -> None:
    gate = Gate()
    gone = Publisher("p", None)
    gate.hold(gone)
    gate.hold(None)
    assert not gone.held
    gate.open()


@needs_outlet
def test_a_publisher_that_goes_while_it_waits_is_released_in_silence() -> None:
    gate = Gate()
    valve = LogValve()
    publisher = Publisher("p", valve)
    gate.hold(publisher)
    publisher.valve = None
    gate.open()
    assert valve.turns == [True]
    assert not publisher.held
