"""All MQTT sessions of the broker: who has one, when it ends, and which wills are due."""

from heapq import heappop, heappush
from typing import final

from gateway.connectors.mqtt import journal
from gateway.connectors.mqtt.recovery import recover_sessions
from gateway.connectors.mqtt.session import MqttSession
from gateway.connectors.mqtt.settings import NEVER, MqttSettings
from gateway.core.destination import InvalidName
from gateway.core.ports import Recovered
from gateway.core.router import Broker, LimitReached


@final
class Sessions:
    """Client id → session.  Every change of a connection goes through here, so that wills and expiry stay right."""

    __slots__ = ("_broker", "_by_id", "_due", "_settings", "expired", "wills_published")

    def __init__(self, broker: Broker, settings: MqttSettings) -> None:
        self._broker = broker
        self._settings = settings
        self._by_id: dict[str, MqttSession] = {}
        # (when, client id): something of this session may be due then.  Entries are never taken back; a session
        # that has changed its mind is looked at in vain once.
        self._due: list[tuple[int, str]] = []
        self.wills_published = 0
        self.expired = 0
        """Sessions that ended because nobody came for them."""

    def __len__(self) -> int:
        return len(self._by_id)

    def __bool__(self) -> bool:
        return bool(self._by_id)

    @property
    def connected(self) -> int:
        """Sessions that have a connection now."""
        return sum([1 for session in self._by_id.values() if session.connector is not None])

    @property
    def queued(self) -> int:
        """Messages that wait in all of them."""
        return sum([session.queued for session in self._by_id.values()])

    def get(self, client_id: str) -> MqttSession | None:
        """The session of `client_id`, if there is one."""
        return self._by_id.get(client_id)

    def belongs_to(self, client_id: str, user: str | None) -> bool:
        """May `user` have the session of this client id?  Where names are verified, nobody gets another's."""
        session = self._by_id.get(client_id)
        return session is None or session.publisher.user == user or not self._broker.authorizer.verifies_names

    def open(self, client_id: str, clean: bool, now_ms: int) -> tuple[MqttSession, bool]:
        """The session for a CONNECT and whether it was there before (Session Present).

        A connection that had the session is told that it was taken over (MQTT 5.0 §3.1.4).  Raises LimitReached.
        """
        session = self._by_id.get(client_id)
        if session is not None:
            connector = session.connector
            if connector is not None:
                connector.taken_over(now_ms)
                # Its end may have ended the session too.
                session = self._by_id.get(client_id)
        if session is not None and clean:
            self._publish_pending_will(session)
            self._discard(session)
            session = None
        if session is not None:
            # A will that was waiting is cancelled by the return of the client (§3.1.3.2.2).
            session.will = None
            session.will_due_ms = 0
            return session, True
        if len(self._by_id) >= self._settings.sessions_max:
            raise LimitReached("too many sessions")
        return self._make(client_id), False

    def disconnected(self, session: MqttSession, now_ms: int) -> None:
        """The session's connection is gone.  Its will, if it still has one, is published when its delay is over."""
        session.disconnected(now_ms)
        will = session.will
        if will is not None:
            delay_s = will.delay_s if session.expiry_s == NEVER else min(will.delay_s, session.expiry_s)
            if delay_s == 0:
                self._publish_will(session)
            else:
                session.will_due_ms = now_ms + delay_s * 1000
                heappush(self._due, (session.will_due_ms, session.client_id))
        if session.expiry_s == 0:
            self._discard(session)
            return
        if session.expiry_s != NEVER:
            heappush(self._due, (session.expires_at_ms(), session.client_id))
        journal.note_session(session)

    def recover(self, found: Recovered, now_ms: int) -> None:
        """The sessions of earlier runs.  Whoever was connected then has lost its connection now."""
        for session in recover_sessions(self._broker, found, self._make):
            if session.ended_at_ms == 0:
                self.disconnected(session, now_ms)
                continue
            if session.will_due_ms:
                heappush(self._due, (session.will_due_ms, session.client_id))
            if session.expiry_s != NEVER:
                heappush(self._due, (session.expires_at_ms(), session.client_id))

    def _make(self, client_id: str) -> MqttSession:
        session = self._by_id[client_id] = MqttSession(self._broker, self._settings, client_id)
        return session

    def tick(self, now_ms: int) -> None:
        """Publish the wills and end the sessions whose time has come."""
        due = self._due
        while due and due[0][0] <= now_ms:
            session = self._by_id.get(heappop(due)[1])
            if session is None:
                continue
            if 0 < session.will_due_ms <= now_ms:
                self._publish_will(session)
            if 0 < session.expires_at_ms() <= now_ms:
                self._publish_pending_will(session)
                self.expired += 1
                self._discard(session)

    def close(self) -> None:
        """The gateway stops: delayed wills do not outlive it unpublished, unless the store keeps them."""
        for session in list(self._by_id.values()):
            if not session.noted:
                self._publish_pending_will(session)

    def _discard(self, session: MqttSession) -> None:
        session.end()
        if self._by_id.get(session.client_id) is session:
            del self._by_id[session.client_id]

    def _publish_pending_will(self, session: MqttSession) -> None:
        """A session that ends publishes a will that was still waiting (§3.1.2.5)."""
        if session.will is not None and session.will_due_ms:
            self._publish_will(session)

    def _publish_will(self, session: MqttSession) -> None:
        will = session.will
        session.will = None
        session.will_due_ms = 0
        journal.note_session(session)
        if will is None:
            return
        broker = self._broker
        try:
            message = will.message(broker, session.publisher)
            if broker.authorizer.may_publish(session.publisher, message.destination):
                broker.publish_to(message.destination, message)
                self.wills_published += 1
        except (InvalidName, LimitReached):
            # Checked when it was set; what has been used up since is no reason to fail others.
            broker.counters.discarded += 1
