"""The gateway with a deliberate fault: it confirms what it has not committed, and takes its time to commit.

Run as a program by the tests, to show that they find it.
"""

import sys
import time

from gateway.cli.main import main
from gateway.connectors.base import Connector
from gateway.core.journal import Batch
from gateway.store.tables import Tables

COMMIT_DELAY_S = 0.03


def confirm(self: Connector, position: int, frame: bytes) -> None:
    self.say(frame)


def apply(self: Tables, batch: Batch) -> None:
    time.sleep(COMMIT_DELAY_S)
    careful_apply(self, batch)


careful_apply = Tables.apply

if __name__ == "__main__":
    Connector.confirm = confirm  # type: ignore[method-assign]
    Tables.apply = apply  # type: ignore[method-assign]
    sys.argv[1:1] = ["run"]
    main()
