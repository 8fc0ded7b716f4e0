"""One STOMP connection: frames to calls on the core, deliveries to frames."""

from collections.abc import Iterator
from typing import Final, cast, final

from gateway.connectors.base import Counters, Limits, Turn, shown
from gateway.connectors.bound import NotHad
from gateway.connectors.ending import end_all
from gateway.connectors.hearing import TIRING_BYTES
from gateway.connectors.reading import Reading
from gateway.connectors.stomp.addresses import Spelling
from gateway.connectors.stomp.headers_out import StompTarget
from gateway.connectors.stomp.refusal import StompRefusal
from gateway.connectors.stomp.sending import StompSender
from gateway.connectors.stomp.settings import StompSettings
from gateway.connectors.stomp.subscriptions import Subscriptions
from gateway.core.cron import InvalidCron
from gateway.core.delivery import ACCEPTED, RELEASED
from gateway.core.destination import InvalidName
from gateway.core.ports import NOTHING, Credentials
from gateway.core.router import Broker, LimitReached
from gateway.core.schedule import ScheduleRefused
from gateway.core.selector_parser import InvalidSelector
from gateway.core.transaction import TransactionDenied, TransactionRefused, TransactionTooLarge
from protocols.stomp.connection import StompConnection, StompLimits
from protocols.stomp.constants import (
    V1_2,
)
from protocols.stomp.frames import (
    Abort,
    Ack,
    Begin,
    Commit,
    Connect,
    ConnectionFailed,
    Disconnect,
    Frame,
    Nack,
    Send,
    Subscribe,
    Unsubscribe,
)
from protocols.stomp.state import NEW

SERVER: Final = "gateway-broker/0.1.0"

TIRING_LINES: Final = 100
"""Header lines of a SEND behind which it is asked whether its client has had its share: see TIRING_BYTES."""


@final
class StompConnector(StompSender):
    """See the module and Connector."""

    __slots__ = (
        "_leaving",
        "_refusing",
        "_subscriptions",
        "_wire",
        "client_id",
        "node",
        "target",
    )

    def __init__(
        self,
        broker: Broker,
        turn: Turn,
        limits: Limits,
        counters: Counters,
        peer: str,
        settings: StompSettings,
        spelling: Spelling,
        node: str,
        owner: str,
        now_ms: int,
    ) -> None:
        super().__init__(broker, turn, limits, counters, peer, settings, spelling, owner)
        self._wire = StompConnection(
            StompLimits(
                max_frame_size=limits.max_frame_size,
                connect_timeout_ms=limits.connect_timeout_ms,
                max_headers=settings.headers_max,
                max_header_bytes=settings.header_bytes_max,
                max_line_bytes=settings.header_line_bytes_max,
                implicit_connect=settings.implicit_connect,
                heart_beat_send_ms=settings.heart_beat_send_ms,
                heart_beat_want_ms=settings.heart_beat_want_ms,
            ),
            now_ms,
        )
        self.node = node
        """This run of the gateway, in the names of what dies with it."""
        self.target = StompTarget("", owner, broker.counters)
        """What its MESSAGEs are made for."""
        self.client_id = ""
        self._refusing = False
        self._leaving = False
        # Made when first used.
        self._subscriptions: Subscriptions | None = None

    # -- driven by net

    def decode(self, data: bytes, now_ms: int) -> list[object]:
        """See FrameConnector."""
        return cast("list[object]", self._wire.receive_data(data, now_ms))

    def has_more(self) -> bool:
        """See FrameConnector."""
        return self._wire.more

    def carry_out(self, frames: list[object], now_ms: int) -> bool:
        """See FrameConnector."""
        for frame in frames:
            assert isinstance(frame, Frame)
            try:
                if isinstance(frame, Send):
                    self._on_send(frame)
                    if len(frame.lines) >= TIRING_LINES or len(frame.body) >= TIRING_BYTES:
                        self.tire()
                elif isinstance(frame, Ack):
                    self._on_ack(frame)
                else:
                    self._on_frame(frame, now_ms)
                    self.tire()
            except (
                StompRefusal,
                NotHad,
                InvalidName,
                InvalidSelector,
                InvalidCron,
                TransactionDenied,
            ) as error:
                if not isinstance(frame, Send) or not self.put_off():
                    self._fail(str(error), frame.receipt)
            except (LimitReached, TransactionTooLarge, TransactionRefused, ScheduleRefused) as limit:
                self.counters.limit_hits += 1
                self._fail(str(limit), frame.receipt)
            if self.closing or self.throttled or self.tired:
                return self.stops_at(frames, frame)
        return True

    def beyond_rate(self, frame: object) -> None:
        """See FrameConnector."""
        assert isinstance(frame, Frame)
        self._too_fast(frame.receipt)

    def eof(self, now_ms: int) -> None:
        """See Connector."""
        self.broker.now_ms = now_ms
        self._let_go()
        self.detach()

    def next_deadline_ms(self) -> int | None:
        """See Connector."""
        due_ms = self._wire.next_deadline_ms()
        look_ms = 0 if self._subscriptions is None else self._subscriptions.next_look_ms
        return look_ms if look_ms and (due_ms is None or look_ms < due_ms) else due_ms

    def deadline(self, now_ms: int) -> None:
        """See Connector."""
        for frame in self._wire.handle_deadline(now_ms):
            self._on_frame(frame, now_ms)
        if self._subscriptions is not None:
            self._subscriptions.look_at_browsers(now_ms)
        self._collect()

    def prepare_out(self, now_ms: int) -> None:
        """See Connector.  What we write stands for a heart-beat."""
        if self.out:
            self._wire.last_sent_ms = now_ms

    def shutdown(self, now_ms: int) -> None:
        """See Connector."""
        self._say_goodbye("the gateway is shutting down")

    def dismiss(self, why: str, now_ms: int) -> None:
        """See Connector."""
        self.failure = why
        self._say_goodbye(why)

    def forget_permissions(self) -> None:
        """See Connector."""
        self.forget_targets()

    def readings(self) -> Iterator[Reading]:
        """See Connector."""
        return iter(()) if self._subscriptions is None else self._subscriptions.readings()

    def refuse(self, now_ms: int) -> None:
        """See Connector."""
        self._refusing = True

    def reading_changed(self) -> None:
        """See Connector."""
        self._wire.listen(not self.throttled, self.broker.now_ms)

    def written(self) -> None:
        """See Connector."""
        super().written()
        if self._subscriptions is not None:
            self._subscriptions.go_on_showing()

    def resumed(self) -> None:
        """See Connector."""
        if self._subscriptions is not None:
            self._subscriptions.wake()

    def congestion_changed(self) -> None:
        """See Connector."""
        if self._subscriptions is not None:
            self._subscriptions.look_at_congestion()

    def on_rate_exceeded(self) -> None:
        """See Connector."""
        self._too_fast(None)

    def _too_fast(self, receipt: str | None) -> None:
        """The frame that wanted this receipt, and all behind it, is not carried out."""
        self.counters.limit_hits += 1
        self._fail("sends faster than its limit", receipt)

    @property
    def unfinished(self) -> int:
        """See Connector."""
        return self._wire.unfinished

    def on_unfinished(self, why: str) -> None:
        """See Connector."""
        self.counters.limit_hits += 1
        self._fail(why, None)

    def on_too_slow(self, now_ms: int) -> None:
        """See Connector."""
        self._say_goodbye(f"{self.failure}, which made others wait too long")

    def release_confirmations(self, position: int) -> bool:
        """See Connector.  After a DISCONNECT the last confirmation ends the connection."""
        more = super().release_confirmations(position)
        if self._leaving and not more:
            self.hang_up()
        return more

    # -- frames

    def _on_ack(self, ack: Ack) -> None:
        self._settle(ack.id, ack.message_id, ack.subscription, ack.transaction, ACCEPTED, ack.receipt)

    def _on_frame(self, frame: Frame, now_ms: int) -> None:
        if isinstance(frame, Nack):
            outcome = self.settings.nack_outcome(frame.requeue)
            self._settle(
                frame.id, frame.message_id, frame.subscription, frame.transaction, outcome, frame.receipt
            )
        elif isinstance(frame, Subscribe):
            if self._subscriptions is None:
                self._subscriptions = Subscriptions(self)
            self._subscriptions.add(frame)
        elif isinstance(frame, Unsubscribe):
            if self._subscriptions is None:
                self._subscriptions = Subscriptions(self)
            before = self.broker.store.position
            self._subscriptions.remove(frame)
            self.confirm_frame(self.appended_since(before), frame.receipt)
        elif isinstance(frame, Begin):
            self._on_begin(frame)
            self.confirm_frame(NOTHING, frame.receipt)
        elif isinstance(frame, Commit):
            self.untaken = self._transaction(frame.transaction).must_wait(self.publisher)
            if not self.untaken:
                self._end_transaction(frame.transaction, True, frame.receipt)
        elif isinstance(frame, Abort):
            self._end_transaction(frame.transaction, False, frame.receipt)
        elif isinstance(frame, Connect):
            self._on_connect(frame)
        elif isinstance(frame, Disconnect):
            self._on_disconnect(frame)
        elif isinstance(frame, ConnectionFailed):
            self._on_failed(frame)

    def _on_connect(self, connect: Connect) -> None:
        self.version = self._wire.version
        limits = self.limits
        self.target = StompTarget(
            self.version,
            self.owner,
            self.broker.counters,
            limits.carry,
            limits.publish_identity,
            self.settings.untyped_by_length,
            self.settings.room(),
        )
        if self._refusing:
            self._turn_away(connect, "maximumConnections is reached")
            return
        if connect.login is None and self.certificate_user is None and not self.limits.allow_anonymous:
            self._turn_away(connect, "anonymous clients are not allowed")
            return
        if not self.settings.serves(connect.host):
            self._turn_away(connect, f"unknown virtual host {shown(connect.host or '')}")
            return
        self.client_id = connect.client_id or ""
        secret = None if connect.passcode is None else connect.passcode.encode()
        self.ask(Credentials(connect.login, secret, self.client_id, self.peer, self.certificate_user))

    def identified(self, granted: bool, user: str | None) -> None:
        """See Connector."""
        if not granted:
            self._refuse("bad login or passcode")
            return
        self.publisher.user = user
        self.publisher.client_id = self.client_id
        if self.client_id:
            self.publisher.id = self.client_id
        if self._wire.silence_max_ms == 0 and self.limits.idle_timeout_ms:
            self._wire.silence_max_ms = self.limits.idle_timeout_ms
        self._wire.send_connected(f"{self.node}-{self.owner}", SERVER)
        self._collect()

    def expect_replies(self, text: str) -> None:
        """See StompSender."""
        if self._subscriptions is None:
            self._subscriptions = Subscriptions(self)
        self._subscriptions.expect_replies(text)

    # -- acknowledging

    def _settle(
        self,
        id: str | None,
        message_id: str | None,
        subscription_id: str | None,
        transaction: str | None,
        outcome: int,
        receipt: str | None,
    ) -> None:
        subscriptions = self._subscriptions
        if self.version == V1_2:
            handle = id or ""
            subscription = None if subscriptions is None else subscriptions.of_handle(handle)
        else:
            handle = message_id or ""
            subscription = (
                None if subscriptions is None else subscriptions.of_message(handle, subscription_id)
            )
            if subscription is not None:
                handle = subscription.handle_of(handle)
        held = None if transaction is None else self._transaction(transaction)
        handles = [] if subscription is None else subscription.meant(handle)
        if subscription is None or not handles:
            raise StompRefusal(f"nothing waits for an acknowledgement of {id or message_id or ''}")
        if held is not None:
            # All of them or none: a delivery that was taken and is not held would be nobody's.
            held.check_room(len(handles))
        deliveries = subscription.take(handles)
        if outcome == RELEASED:
            for delivery in deliveries:
                delivery.returned = True
        if held is None or transaction is None:
            position = NOTHING
            for delivery in deliveries:
                position = max(position, delivery.settle(outcome))
            if subscription.browsed and subscriptions is not None:
                subscriptions.acknowledged(subscription)
            if receipt is not None:
                self.confirm_frame(position, receipt)
            return
        for delivery in deliveries:
            held.settle(delivery, outcome)
        self._confirm_within(transaction, receipt)
        # What is acknowledged within a transaction makes room in the window at once.
        subscription.wake()

    # -- the end

    def _on_disconnect(self, disconnect: Disconnect) -> None:
        """The RECEIPT says that all before it has been done, so all of it is safe; it is the last that the client hears.

        §DISCONNECT: whoever has it may close the socket without losing anything.
        """
        self._let_go(tried=False)
        self.confirm_frame(self.broker.store.position, disconnect.receipt)
        self._collect()
        if self.unconfirmed:
            self._leaving = True
        else:
            self.hang_up()

    def _on_failed(self, failed: ConnectionFailed) -> None:
        self.counters.protocol_errors += 1
        self.failure = failed.reason
        self._collect()
        self._let_go()
        self.hang_up()

    def _turn_away(self, connect: Connect, why: str) -> None:
        self.turn_away(connect.login, connect.client_id or "", why)
        self._refuse(why)

    def _refuse(self, why: str) -> None:
        self.failure = why
        self._say_goodbye(why)

    def _fail(self, why: str, receipt: str | None) -> None:
        """The client asked for what cannot be: say why, with the receipt it wanted, and close (§ERROR)."""
        self.counters.protocol_errors += 1
        self.failure = why
        self._wire.send_error(why, why + "\n", receipt)
        self._collect()
        self._let_go()

    def _say_goodbye(self, why: str) -> None:
        if self._wire.state != NEW:
            self._wire.send_error(why, why + "\n")
        self._collect()
        self.hang_up()

    def _let_go(self, tried: bool = True) -> None:
        """Give back everything: see `end_all`."""
        subscriptions = self._subscriptions
        self._subscriptions = None
        transactions = self._transactions
        self._transactions = None
        self._forget_receipts()
        temporary = self._temporary
        self._temporary = None
        self._topics = None
        self._queues = None
        end_all(
            self.broker,
            [] if subscriptions is None else subscriptions.leave(),
            [] if transactions is None else list(transactions.values()),
            [] if temporary is None else list(temporary.values()),
            tried,
        )

    def _collect(self) -> None:
        """Take over what the wire room wants to say, behind what we have said."""
        wire = self._wire
        if wire.out:
            frames = wire.out
            wire.out = []
            self.say_all(frames)
        if wire.closing and not self.closing and not self._leaving:
            self.hang_up()
