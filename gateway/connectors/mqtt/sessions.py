"""All MQTT sessions of the broker: who has one, when it ends, and which wills are due."""

from typing import Final, final

from gateway.connectors.mqtt import journal
from gateway.connectors.mqtt.agenda import Agenda
from gateway.connectors.mqtt.recovery import recover_sessions
from gateway.connectors.mqtt.session import MqttSession
from gateway.connectors.mqtt.settings import NEVER, MqttSettings
from gateway.connectors.mqtt.wills import WillMessage
from gateway.core.chores import Chore
from gateway.core.destination import InvalidName
from gateway.core.fan_out import FEW
from gateway.core.flow import Publisher
from gateway.core.footprint import Footprint, wire_bytes
from gateway.core.message import Message
from gateway.core.ports import Recovered
from gateway.core.quota import Quota
from gateway.core.room import REFUSED
from gateway.core.router import Broker, LimitReached

DUE_AT_ONCE: Final = 16
"""Sessions that are looked at in one step, fewer where their wills go to many."""

FORGOTTEN_AT_ONCE: Final = 128
"""Subscriptions of an ended session that are undone in one step."""


@final
class Sessions(Chore):
    """Client id → session.  Every change of a connection goes through here, so that wills and expiry stay right.

    As a chore it does what is due, a few sessions at a time.
    """

    __slots__ = (
        "_agenda",
        "_broker",
        "_by_id",
        "_made_by",
        "_reached",
        "_settings",
        "_working",
        "connected",
        "expired",
        "footprint",
        "wills_published",
    )

    def __init__(self, broker: Broker, settings: MqttSettings) -> None:
        self._broker = broker
        self._settings = settings
        self._by_id: dict[str, MqttSession] = {}
        self._made_by = Quota(settings.sessions_per_user_max, settings.sessions_per_address_max)
        self._agenda = Agenda()
        self._working = False
        # How many had a will to be given, all wills together.
        self._reached = 0
        self.footprint = Footprint(
            settings.session_bytes_max, settings.sessions_bytes_max, "client ids, filters and wills"
        )
        self.connected = 0
        """Sessions that have a connection now."""
        self.wills_published = 0
        self.expired = 0
        """Sessions that ended because nobody came for them."""

    def __len__(self) -> int:
        return len(self._by_id)

    def __bool__(self) -> bool:
        return bool(self._by_id)

    def all(self) -> list[MqttSession]:
        """Those that are there now."""
        return list(self._by_id.values())

    def get(self, client_id: str) -> MqttSession | None:
        """The session of `client_id`, if there is one."""
        return self._by_id.get(client_id)

    def belongs_to(self, client_id: str, user: str | None) -> bool:
        """May `user` have the session of this client id?  Where names are verified, nobody gets another's."""
        session = self._by_id.get(client_id)
        return session is None or session.publisher.user == user or not self._broker.authorizer.verifies_names

    def open(
        self,
        client_id: str,
        clean: bool,
        will: WillMessage | None,
        now_ms: int,
        maker: Publisher | None = None,
    ) -> tuple[MqttSession, bool]:
        """The session for a CONNECT, with its will, and whether it was there before (Session Present).

        A connection that had the session is told that it was taken over (MQTT 5.0 §3.1.4).  A new one counts as one of
        `maker`'s.  Raises LimitReached.
        """
        session = self._by_id.get(client_id)
        if session is not None:
            connector = session.connector
            if connector is not None:
                connector.taken_over(now_ms)
            else:
                # What is due has happened, though nobody has looked yet.
                self._look_at(session, now_ms)
            # It may have ended by that.
            session = self._by_id.get(client_id)
        if session is not None and clean:
            self._publish_pending_will(session)
            self._discard(session)
            session = None
        if session is not None:
            # A will that was waiting is cancelled by the return of the client (§3.1.3.2.2).
            session.set_will(will)
            session.will_due_ms = 0
            return session, True
        if len(self._by_id) >= self._settings.sessions_max:
            raise LimitReached("too many sessions")
        if not self._made_by.has_room(maker):
            raise LimitReached("too many sessions of one user or address")
        self.footprint.check(0, wire_bytes(client_id) + (0 if will is None else will.size))
        session = self._make(client_id)
        self._made_by.made(session, maker)
        session.set_will(will)
        return session, False

    def adopted(self, session: MqttSession) -> None:
        """The session has a connection."""
        self.connected += 1

    def disconnected(self, session: MqttSession, now_ms: int) -> None:
        """The session's connection is gone.  Its will, if it still has one, is published when its delay is over."""
        self.connected -= 1
        session.disconnected(now_ms)
        will = session.will
        if will is not None:
            delay_s = self._delay_s(session, will)
            if delay_s == 0:
                self._publish_will(session)
            else:
                session.will_due_ms = now_ms + delay_s * 1000
        if session.expiry_s == 0:
            self._discard(session)
            return
        self._agenda.plan(session)
        journal.note_session(session)

    def _delay_s(self, session: MqttSession, will: WillMessage) -> int:
        """How long a will waits: no longer than its session (§3.1.3.2.2)."""
        return will.delay_s if session.expiry_s == NEVER else min(will.delay_s, session.expiry_s)

    def recover(self, found: Recovered, now_ms: int) -> None:
        """The sessions of earlier runs.  Whoever was connected then has lost its connection now."""
        for session in recover_sessions(self._broker, found, self._make):
            if session.ended_at_ms == 0:
                session.disconnected(now_ms)
                will = session.will
                if will is not None:
                    session.will_due_ms = now_ms + self._delay_s(session, will) * 1000
                if session.expiry_s:
                    journal.note_session(session)
            self._agenda.plan(session)

    def _make(self, client_id: str) -> MqttSession:
        session = self._by_id[client_id] = MqttSession(
            self._broker, self._settings, client_id, self.footprint
        )
        session.share.count(wire_bytes(client_id))
        return session

    # -- time

    def tick(self, now_ms: int) -> None:
        """Publish the wills and end the sessions whose time has come."""
        if not self._working and self._agenda.is_due(now_ms):
            self._working = True
            self._broker.chores.add(self)

    def go_on(self) -> bool:
        """See Chore."""
        now_ms = self._broker.now_ms
        # Not before the end: were one to fail, the next tick would begin anew.
        self._working = False
        left = DUE_AT_ONCE
        while left > 0 and self._agenda.is_due(now_ms):
            reached = self._reached
            session = self._agenda.take(now_ms)
            if session is not None and session.connector is None:
                self._look_at(session, now_ms)
            left -= 1 + (self._reached - reached) // FEW
        self._working = self._agenda.is_due(now_ms)
        return self._working

    def _look_at(self, session: MqttSession, now_ms: int) -> None:
        """Do what is due for a session without a connection."""
        if 0 < session.will_due_ms <= now_ms:
            self._publish_will(session)
        if 0 < session.expires_at_ms() <= now_ms:
            self._publish_pending_will(session)
            self.expired += 1
            self._discard(session)
        else:
            self._agenda.plan(session)

    def close(self) -> None:
        """The gateway stops.

        Delayed wills do not outlive it unpublished, unless the store keeps them; deliveries that are under way do.
        """
        for session in list(self._by_id.values()):
            if session.noted:
                session.note_unfinished()
            else:
                self._publish_pending_will(session)

    def _discard(self, session: MqttSession) -> None:
        self._agenda.forget(session)
        self._made_by.gone(session)
        if self._by_id.get(session.client_id) is session:
            del self._by_id[session.client_id]
        session.end()
        if session.subscriptions:
            ending = _Ending(session, self)
            if ending.go_on():
                self._broker.chores.add(ending)

    # -- wills

    def _publish_pending_will(self, session: MqttSession) -> None:
        """A session that ends publishes a will that was still waiting (§3.1.2.5)."""
        if session.will is not None and session.will_due_ms:
            self._publish_will(session)

    def _publish_will(self, session: MqttSession) -> None:
        """Publish it and forget it, in one step: a crash must not leave it to be published twice, or not at all."""
        will = session.will
        session.set_will(None)
        session.will_due_ms = 0
        store = self._broker.store
        store.begin()
        try:
            journal.note_session(session)
            if will is not None:
                self._publish(will, session)
        finally:
            store.end()

    def _publish(self, will: WillMessage, session: MqttSession) -> None:
        broker = self._broker
        try:
            message = will.message(broker, session.publisher)
            if broker.authorizer.may_publish(session.publisher, message.destination):
                self._send(message)
                self._reached += broker.reach(message.destination)
                self.wills_published += 1
        except (InvalidName, LimitReached):
            # Checked when it was set; what has been used up since is no reason to fail others.
            broker.counters.discarded += 1

    def _send(self, message: Message) -> None:
        broker = self._broker
        if broker.publish_to(message.destination, message) == REFUSED and message.persistent:
            # The store has no room.  Nobody is left to try it again, so whoever is there is told at least.
            message.persistent = False
            broker.publish_to(message.destination, message)


@final
class _Ending(Chore):
    """Undoes the subscriptions of a session that has ended, some at a time: there may be very many."""

    __slots__ = ("_session", "_sessions")

    def __init__(self, session: MqttSession, sessions: Sessions) -> None:
        self._session = session
        self._sessions = sessions

    def go_on(self) -> bool:
        """See Chore."""
        session = self._session
        # The client may be back with a session that is new.
        return session.forget_subscriptions(FORGOTTEN_AT_ONCE, self._sessions.get(session.client_id))
