"""What may have been delivered before is known as such until it has left, over any number of restarts."""

from core_doubles import LogOutlet, needs_outlet
from core_messages import message
from core_queues import consume

from gateway.core.delivery import ACCEPTED, FAILED, RELEASED, Delivery
from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.ports import Authorizer
from gateway.core.router import Broker
from gateway.core.suspects import SPACE
from gateway.store.memory import Kept, MemoryStore

pytestmark = needs_outlet


class Run:
    """One life of a broker; `crash` and `stop` begin the next."""

    def __init__(self, kept: Kept | None = None) -> None:
        self.store = MemoryStore(kept, held=True, pages=True)
        self.broker = Broker(self.store, Authorizer(), CoreLimits(), QueuePolicy())
        self.store.listener = self.broker
        self.broker.recover(self.store.recover())

    def send(self, count: int = 1, to: str = "q") -> None:
        for _ in range(count):
            self.broker.queue(to).offer(message(self.broker, persistent=True))
        self.store.commit()

    def deliver(self, to: str = "q", outcome: int | None = None) -> list[Delivery]:
        outlet = LogOutlet(outcome)
        consume(self.broker.queue(to), outlet)
        for _ in range(3):
            self.store.commit()
        return outlet.taken

    def crash(self) -> "Run":
        return Run(self.store.kept)

    def stop(self) -> "Run":
        self.broker.kept.note_unsettled()
        self.store.close(True)
        return Run(self.store.kept)

    def noted(self) -> int:
        return len([place for place in self.store.kept.notes if place[0] == SPACE])


def redelivered(deliveries: list[Delivery]) -> list[bool]:
    return [delivery.redelivered for delivery in deliveries]


def test_what_a_crash_left_is_suspect_after_orderly_stops_too() -> None:
    run = Run()
    run.send(2)
    run = run.crash().stop().stop()
    run.send(1)
    assert redelivered(run.deliver()) == [True, True, False]


def test_after_an_orderly_stop_only_queues_with_deliveries_in_flight_are_suspect() -> None:
    run = Run()
    run.send(1, "taken")
    run.send(1, "waiting")
    run.deliver("taken")
    run = run.stop().stop()
    assert redelivered(run.deliver("taken")) == [True]
    assert redelivered(run.deliver("waiting")) == [False]


def test_a_message_that_a_consumer_gave_back_is_known_after_two_orderly_stops() -> None:
    run = Run()
    run.send(1)
    (delivery,) = run.deliver()
    delivery.consumer.queue.detach(delivery.consumer)  # type: ignore[union-attr]
    delivery.returned = True
    delivery.settle(RELEASED)
    run = run.stop().stop()
    assert redelivered(run.deliver()) == [True]


def test_a_message_that_failed_is_known_after_two_orderly_stops() -> None:
    run = Run()
    run.send(1)
    (delivery,) = run.deliver()
    delivery.consumer.queue.detach(delivery.consumer)  # type: ignore[union-attr]
    delivery.settle(FAILED)
    run = run.stop().stop()
    (delivery,) = run.deliver()
    assert (delivery.redelivered, delivery.failures, delivery.suspect) == (True, 1, False)


def test_a_queue_that_has_lost_its_suspects_forgets_them_and_takes_no_new_message_for_one() -> None:
    run = Run()
    run.send(3)
    run = run.crash()
    run.store.commit()
    assert run.noted() == 1
    run.deliver(outcome=ACCEPTED)
    run = run.stop()
    run.store.commit()
    assert run.noted() == 0
    run.send(2)
    assert redelivered(run.stop().deliver()) == [False, False]


def test_a_deleted_queue_takes_its_note_along() -> None:
    run = Run()
    run.send(1)
    run = run.crash()
    run.broker.delete_queue(run.broker.queue("q"))
    run.store.commit()
    assert run.noted() == 0
