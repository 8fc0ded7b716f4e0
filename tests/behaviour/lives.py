"""Several lives of a gateway on one store in memory, for transcripts that go over a restart."""

from harness import Gateway

from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.store.memory import Kept, MemoryStore


class Lives:
    """One store, and the gateway that lives on it now.  What was not committed when it was killed is lost."""

    def __init__(self) -> None:
        self._kept = Kept()
        self.memory_max = CoreLimits().memory_max
        self.begin()

    def begin(self, clean: bool = False) -> Gateway:
        """The next life."""
        self._kept.clean = clean
        self.store = MemoryStore(self._kept, held=True, pages=True)
        self.gw = Gateway(self.store, QueuePolicy(dead_letters="DLQ", deliveries_max=2))
        self.store.listener = self.gw.broker
        self.gw.broker.limits.memory_max = self.memory_max
        found = self.store.recover()
        self.gw.broker.recover(found)
        self.gw._mqtt_service.recover(found, self.gw.now_ms)
        return self.gw

    kill = begin

    def stop(self) -> Gateway:
        """An orderly stop, once all connections are gone, and the next life."""
        self.gw._mqtt_service.close(self.gw.now_ms)
        self.commit()
        return self.begin(all(queue.unsettled == 0 for queue in self.gw.broker.queues.values()))

    def commit(self) -> None:
        """What is waiting reaches the disk; pages come back, and what they set off is committed too."""
        for _ in range(3):
            self.store.commit()
