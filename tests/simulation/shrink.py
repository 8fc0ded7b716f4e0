"""From a run that fails to the shortest that still does: operations are dropped, many at a time, then one by one."""

from collections.abc import Callable

from tests.simulation.operations import Operation


def shrink(
    operations: list[Operation], fails: Callable[[list[Operation]], bool], runs_max: int
) -> list[Operation]:
    """The least found within so many runs of which `fails` is true, as it is of `operations`."""
    size = max(1, len(operations) // 2)
    runs = 0
    while True:
        at = 0
        dropped = False
        while at < len(operations) and runs < runs_max:
            fewer = operations[:at] + operations[at + size :]
            runs += 1
            if fails(fewer):
                operations = fewer
                dropped = True
            else:
                at += size
        if runs >= runs_max or (size == 1 and not dropped):
            return operations
        size = max(1, size // 2)
