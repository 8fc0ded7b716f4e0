"""What is legal when: every pair of a state and a command, in the table and through a connection."""

from itertools import product

import pytest
from stomp_vectors import connected, sent

from protocols.stomp.connection import StompConnection, StompLimits
from protocols.stomp.constants import COMMAND_NAMES, COMMANDS, CONNECT, DISCONNECT
from protocols.stomp.errors import FrameNotAllowed
from protocols.stomp.frames import ConnectionFailed
from protocols.stomp.state import CLOSING, CONNECTED, NEW, STATES, TRANSITIONS, after

COMMAND_NUMBERS = range(len(COMMAND_NAMES))
WIRE = {
    "CONNECT": b"CONNECT\naccept-version:1.2\nhost:h\n\n\0",
    "STOMP": b"STOMP\naccept-version:1.2\nhost:h\n\n\0",
    "SEND": b"SEND\ndestination:/a\n\n\0",
    "SUBSCRIBE": b"SUBSCRIBE\ndestination:/a\nid:1\n\n\0",
    "UNSUBSCRIBE": b"UNSUBSCRIBE\nid:1\n\n\0",
    "ACK": b"ACK\nid:1\n\n\0",
    "NACK": b"NACK\nid:1\n\n\0",
    "BEGIN": b"BEGIN\ntransaction:t\n\n\0",
    "COMMIT": b"COMMIT\ntransaction:t\n\n\0",
    "ABORT": b"ABORT\ntransaction:t\n\n\0",
    "DISCONNECT": b"DISCONNECT\n\n\0",
}


@pytest.mark.parametrize("state, command", list(product(STATES, COMMAND_NUMBERS)))
def test_after_follows_the_table(state: int, command: int) -> None:
    if (state, command) in TRANSITIONS:
        assert after(state, command) == TRANSITIONS[(state, command)]
    else:
        with pytest.raises(FrameNotAllowed):
            after(state, command)


def test_the_table_itself() -> None:
    assert {command for state, command in TRANSITIONS if state == NEW} == {CONNECT}
    assert {command for state, command in TRANSITIONS if state == CONNECTED} == set(COMMAND_NUMBERS) - {
        CONNECT
    }
    assert not [command for state, command in TRANSITIONS if state == CLOSING]
    assert TRANSITIONS[(CONNECTED, DISCONNECT)] == CLOSING


def in_state(state: int) -> StompConnection:
    if state == NEW:
        return StompConnection(StompLimits(), 0)
    connection = connected()
    if state == CLOSING:
        connection.receive_data(b"DISCONNECT\n\n\0", 0)
    assert connection.state == state
    return connection


@pytest.mark.parametrize("state, name", list(product(STATES, [name.decode() for name in COMMANDS])))
def test_connection_follows_the_table(state: int, name: str) -> None:
    connection = in_state(state)
    frames = connection.receive_data(WIRE[name], 0)
    follows = TRANSITIONS.get((state, COMMANDS[name.encode()]))
    if follows is not None:
        assert len(frames) == 1
        assert not isinstance(frames[0], ConnectionFailed)
        assert connection.state == follows
        assert not connection.closing
    elif state == CLOSING:
        # After DISCONNECT nothing is looked at, and nothing is answered.
        assert frames == []
        assert sent(connection) == b""
    else:
        assert isinstance(frames[-1], ConnectionFailed)
        assert connection.closing
        assert sent(connection).startswith(b"ERROR\n")
