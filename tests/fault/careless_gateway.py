"""The gateway with a deliberate fault: it confirms what it has not committed, and takes its time to commit.

Run as a program by the tests, to show that they find it.
"""

import sys
import time

from gateway.cli.main import main
from gateway.core.journal import Batch, Journal
from gateway.core.ports import Operation
from gateway.store.sqlite import SqliteStore
from gateway.store.tables import Tables

COMMIT_DELAY_S = 0.03


def append(self: SqliteStore, operation: Operation) -> int:
    position = Journal.append(self, operation)
    self.durable = self.position
    return position


def apply(self: Tables, batch: Batch) -> None:
    time.sleep(COMMIT_DELAY_S)
    careful_apply(self, batch)


careful_apply = Tables.apply

if __name__ == "__main__":
    SqliteStore.append = append  # type: ignore[method-assign]
    Tables.apply = apply  # type: ignore[method-assign]
    sys.argv[1:1] = ["run"]
    main()
