"""The same with a deliberate fault: what was struck inside a group counts as durable before the group is.

Run as a program by the tests, to show that they find it.
"""

from gated_gateway import run

from gateway.core.journal import Journal
from gateway.core.ports import Dequeued, Operation

careful_append = Journal.append


def append(self: Journal, operation: Operation) -> int:
    if isinstance(operation, Dequeued):
        at = operation.enqueued - self._base - 1
        if at >= 0:
            self._strike(at)
            return self.position
    return careful_append(self, operation)


if __name__ == "__main__":
    Journal.append = append  # type: ignore[method-assign]
    run()
