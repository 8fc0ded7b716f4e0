"""What net drives and core feeds: one Connector a connection.

Net calls `bytes_in`, `eof`, `deadline`, `writable` and, once per loop turn for each connector that marked itself,
`bytes_out`.  Time comes in as an argument.  Nothing here waits, and nothing knows a socket.
"""

from collections.abc import Iterator
from typing import Final, final

from gateway.connectors.confirmations import FRAME_BYTES, Confirmations
from gateway.connectors.limits import Counters, Limits
from gateway.connectors.output import RESUME_BYTES, TAKES_NOTHING, Output, Turn
from gateway.connectors.reading import Reading
from gateway.core.footprint import Share
from gateway.core.ports import Asker, Credentials
from gateway.core.router import Broker

__all__ = [
    "CAME",
    "FRAME_BYTES",
    "LOGINS",
    "ORIGINS",
    "REFUSED_TALKING_MAX",
    "RESUME_BYTES",
    "TAKES_NOTHING",
    "Confirmations",
    "Connector",
    "Counters",
    "Limits",
    "Output",
    "Turn",
]

REFUSED_TALKING_MAX: Final = 64
"""Connections above maximumConnections that are heard far enough to be refused in their own words."""

CAME: Final = "clients let in"
"""What went as it should."""
LOGINS: Final = "refused logins"
ORIGINS: Final = "refused origins"
"""Kinds of notice: what a flood of them is called in the log."""

NAME_SHOWN_MAX: Final = 100
"""Characters of a name, client id or origin that are shown."""


def shown(name: str) -> str:
    """A name that a client gave, as the log may have it: in one line, and not endless."""
    return repr(name if len(name) <= NAME_SHOWN_MAX else name[:NAME_SHOWN_MAX] + "…")


def introduced(user: str | None, client_id: str) -> str:
    """Who a client says that it is, for the log: it need not be true."""
    name = "somebody without a name" if user is None else shown(user)
    return f"{name} as {shown(client_id)}" if client_id else name


class Connector(Output):
    """One client's connection, between its wire room and the core.

    Subclasses implement the methods that raise NotImplementedError, and use `push`, `confirm` and `say` (see Output) to
    write.
    """

    __slots__ = (
        "_asker",
        "_late",
        "_puts_off",
        "_rate_bytes",
        "_rate_messages",
        "_rate_second",
        "_share",
        "_shut",
        "certificate_user",
        "handover",
        "known",
        "notices",
        "offered",
        "peer",
        "reported",
        "resumes",
        "stranger",
        "throttled",
        "untaken",
    )

    def __init__(self, broker: Broker, turn: Turn, limits: Limits, counters: Counters, peer: str) -> None:
        super().__init__(broker, turn, limits, counters, peer)
        self.peer = peer
        """Address of the client, for logs."""
        self.certificate_user: str | None = None
        """Whom its TLS certificate names; set before the first bytes."""
        self.offered: Credentials | None = None
        """What it said of itself to what carries it (HTTP's Authorization); set before the first bytes."""
        self.known = False
        """It has been let in: who it is, its publisher says."""
        self.handover: object | None = None
        """Set by a connector whose client goes on in another protocol: see `carriage.Handover`."""
        self.throttled = False
        """Do not read from this client for now, and handle nothing more of what it has sent."""
        self.resumes = False
        """There is more of what it has sent: `go_on` is to be called before it is read again."""
        self.stranger = False
        """It is not known yet who the client is, and that matters: little is kept of what it says.  For those carried."""
        self.untaken = False
        """The frame that is being handled is to be handled again when the client may go on."""
        self.notices: list[tuple[str, str]] | None = None
        """What net is to put into the log at the end of the turn: kinds and lines."""
        self.reported = False
        """What `failure` says is in the log already."""
        self._asker: _ConnectionAsker | None = None
        self._late = False
        self._shut = False
        self._puts_off = False
        self._rate_second = 0
        self._rate_messages = 0
        self._rate_bytes = 0
        # Made when first used.
        self._share: Share | None = None

    @final
    @property
    def share(self) -> Share:
        """What its subscriptions take of the bytes for those of all connections."""
        share = self._share
        if share is None:
            share = self._share = Share(self.broker.footprint)
        return share

    # -- driven by net

    def bytes_in(self, data: bytes, now_ms: int) -> None:
        """The client sent `data`, any part of any number of frames.  Never raises for what a client may send."""
        raise NotImplementedError

    def eof(self, now_ms: int) -> None:
        """The connection is gone, whoever ended it.  Called exactly once, last."""
        raise NotImplementedError

    def go_on(self, now_ms: int) -> None:
        """The client may go on: handle what has waited.  Called in a later turn, once `resumes` is set."""
        self.resumes = False
        if not self.throttled and not self.closing:
            self.bytes_in(b"", now_ms)
        self.publisher.went_on()

    @property
    def unheard(self) -> bool:
        """Is there something that it has sent and that waits?  Then nothing more is to be given to `bytes_in`."""
        return self.throttled or self.resumes

    @property
    def unfinished(self) -> int:
        """Bytes that are kept of a frame that has begun and is not whole; those of a small one need not count."""
        return 0

    @property
    def owes(self) -> bool:
        """Is there something to be said to the client that still has to wait?"""
        return (
            self.unconfirmed > 0
            or self._asker is not None
            or self.resumes
            or self.throttled
            or len(self.out) > 0
            or self.unwritten
            or self._held is not None
        )

    def finish(self, now_ms: int) -> None:
        """The client will say no more, and may still read: what it can be told at once is not to wait."""

    def next_deadline_ms(self) -> int | None:
        """When `deadline` wants to be called; looked at after each call in."""
        raise NotImplementedError

    def deadline(self, now_ms: int) -> None:
        """The time that `next_deadline_ms` named has come (or passed)."""
        raise NotImplementedError

    def shutdown(self, now_ms: int) -> None:
        """The gateway stops: tell the client in its protocol's words, and set `closing`."""
        raise NotImplementedError

    def dismiss(self, why: str, now_ms: int) -> None:
        """This client may not stay: tell it, and set `closing`."""
        self.failure = why
        self.shutdown(now_ms)

    def refuse(self, now_ms: int) -> None:
        """This connection is one too many: answer its CONNECT with a refusal in its protocol's words, then close.

        Called once, straight after construction.
        """
        raise NotImplementedError

    def on_rate_exceeded(self) -> None:
        """The client sends faster than it may: tell it so and set `closing`."""
        raise NotImplementedError

    def on_unfinished(self, why: str) -> None:
        """What it keeps of a frame that is not whole is too much: tell the client and set `closing`."""
        raise NotImplementedError

    def on_too_slow(self, now_ms: int) -> None:
        """See Output."""
        self.shutdown(now_ms)

    # -- how fast it may send

    def over_rate(self, messages: int, size: int, now_ms: int) -> bool:
        """Count what the client sent in this second; True when that is more than it may."""
        limits = self.limits
        second = now_ms // 1000
        if second != self._rate_second:
            self._rate_second = second
            self._rate_messages = 0
            self._rate_bytes = 0
        self._rate_messages += messages
        self._rate_bytes += size
        return (limits.message_rate != 0 and self._rate_messages > limits.message_rate) or (
            limits.byte_rate != 0 and self._rate_bytes > limits.byte_rate
        )

    def admit(self, messages: int, size: int, now_ms: int) -> int:
        """Count what the client sent in this second; how many of these messages, the first ones, it may.

        The rest must not be carried out, since the client is told that it was too much (`on_rate_exceeded`).
        """
        if not self.over_rate(messages, size, now_ms):
            return messages
        limits = self.limits
        if limits.byte_rate and self._rate_bytes > limits.byte_rate:
            return 0
        return max(messages - (self._rate_messages - limits.message_rate), 0)

    def detach(self) -> None:
        """The connection is over: forget whatever would keep it in memory or make others wait for it."""
        if self.publisher.valve is self:
            self.publisher.leave()
        self._write_no_more()
        if self._asker is not None:
            self._asker.connector = None
            self._asker = None

    # -- rules and users change

    def forget_permissions(self) -> None:
        """What the client may do is to be asked anew: nothing of it may be remembered."""

    def readings(self) -> Iterator[Reading]:
        """What this connection reads by itself."""
        return iter(())

    def revoke(self, why: str) -> None:
        """It has lost what it was let in for: end it."""
        if not self.closing:
            self.dismiss(why, self.broker.now_ms)
            self.turn.mark(self)

    # -- for the log

    @property
    def who(self) -> str:
        """Who the client is known to be, for the log."""
        user, client_id = self.publisher.user, self.publisher.client_id
        name = "" if user is None else shown(user)
        return f"{name} as {shown(client_id)}".lstrip() if client_id else name

    def turn_away(self, user: str | None, client_id: str, why: str = "") -> None:
        """Have it put into the log that a client is not let in that says it is this one; once, by its first reason."""
        if not self.reported:
            self.reported = True
            self.notice(LOGINS, f"{introduced(user, client_id)} is not let in{': ' if why else ''}{why}")

    def notice(self, kind: str, line: str) -> None:
        """Have this put into the log: as one of many, if there are many of its kind."""
        if self.notices is None:
            self.notices = []
        self.notices.append((kind, line))
        self.turn.mark(self)

    # -- what is no fault of whoever called in

    def cut_off(self, why: str) -> None:
        """See Valve."""
        self._confirm_no_more()
        if not self.closing:
            self.dismiss(why, self.broker.now_ms)
            self.turn.mark(self)

    # -- Valve, turned by core

    def throttle(self, shut: bool) -> None:
        """See Valve."""
        self._shut = shut
        self._look_at_reading()

    def _look_at_reading(self) -> None:
        """A client is not read while publishers must wait, while it does not read its answers, nor before it is known."""
        shut = self._shut or self._unanswered or self._puts_off or self._asker is not None
        if shut != self.throttled:
            self.throttled = shut
            if not shut:
                self.resumes = True
            self.reading_changed()
            self.turn.mark(self)

    def answers_changed(self) -> None:
        """See Output."""
        self._look_at_reading()

    def put_off(self) -> bool:
        """The frame that is handled is refused, which ends the connection: is it to wait for what is to be confirmed first?

        Ended at once, the client would not know what was taken, would send that again, and would come no further where it
        is refused each time.  It is handled again then, and perhaps not refused.
        """
        if self.unconfirmed == 0:
            return False
        self.untaken = True
        self._puts_off = True
        self._look_at_reading()
        return True

    def release_confirmations(self, position: int) -> bool:
        """See Output."""
        more = super().release_confirmations(position)
        if self._puts_off and not more:
            self._puts_off = False
            self._look_at_reading()
        return more

    def reading_changed(self) -> None:
        """`throttled` has a new value: a client that is not read cannot be blamed for its silence."""

    # -- who is it?

    def ask(self, credentials: Credentials) -> None:
        """Ask the authorizer about this client; `identified` gets the answer, perhaps at once."""
        asker = _ConnectionAsker(self, credentials.user, credentials.client_id)
        self._asker = asker
        self.reported = False
        self.broker.authorizer.authenticate(credentials, asker)
        if asker.connector is not None:
            self._late = True
            self._look_at_reading()

    def says_too_little(self, user: str | None, secret: object) -> bool:
        """Does it say nothing of who it is, where nobody may come without a name?"""
        nobody = user is None and secret is None and self.certificate_user is None
        return nobody and not self.limits.allow_anonymous

    def identified(self, granted: bool, user: str | None) -> None:
        """The answer to `ask`: the client is `user`, or it may not connect."""
        raise NotImplementedError

    def take_answer(self, granted: bool, user: str | None) -> None:
        """The authorizer has answered."""
        asker = self._asker
        self._asker = None
        late = self._late
        self._late = False
        self._look_at_reading()
        if user is None and not self.limits.allow_anonymous:
            # Whatever it has shown, it is nobody in particular.
            granted = False
        if not granted and asker is not None:
            self.turn_away(asker.user, asker.client_id)
        self.known = granted
        self.identified(granted, user)
        if granted and not self.closing:
            self.notice(CAME, "has come")
        if late and not self.closing:
            # For what the client has sent behind its CONNECT.
            self.bytes_in(b"", self.broker.now_ms)


@final
class _ConnectionAsker(Asker):
    """Carries the authorizer's answer to a connector, if that is still there."""

    __slots__ = ("client_id", "connector", "user")

    def __init__(self, connector: Connector, user: str | None, client_id: str) -> None:
        self.connector: Connector | None = connector
        self.user = user
        """Who the client says that it is."""
        self.client_id = client_id

    def answer(self, granted: bool, user: str | None) -> None:
        """See Asker."""
        connector = self.connector
        self.connector = None
        if connector is not None:
            connector.take_answer(granted, user)
