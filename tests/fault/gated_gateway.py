"""The gateway with a gate before each commit: it is shut while a file `gate` lies beside the configuration.

At the gate the writer leaves a file `at-N` for its Nth commit since the gate is there, and waits until there is a file
`pass-N`, or no gate any more.  It does not wait for ever.  Run as a program by the tests.
"""

import os
import sys
import threading
import time
from pathlib import Path
from typing import Final

from gateway.cli.main import main
from gateway.core.journal import Batch
from gateway.store.tables import Tables

PLACE: Final = Path(sys.argv[-1]).parent
GATE: Final = PLACE / "gate"
WAIT_S: Final = 20.0
"""A test that has forgotten the gate ends with an error, and does not hang."""

careful_apply = Tables.apply
numbers = iter(range(1, 1_000_000))


def apply(self: Tables, batch: Batch) -> int:
    if GATE.exists():
        # Commits on the loop's thread would stop more than the disk; so few as the tests make it makes none.
        assert threading.current_thread().name == "store"
        wait_at_gate(next(numbers))
    return careful_apply(self, batch)


def wait_at_gate(number: int) -> None:
    (PLACE / f"at-{number}").touch()
    let_pass = PLACE / f"pass-{number}"
    until = time.monotonic() + WAIT_S
    while GATE.exists() and not let_pass.exists():
        if time.monotonic() > until:
            print(f"commit {number} was never let pass", file=sys.stderr, flush=True)
            os._exit(70)
        time.sleep(0.002)


def run() -> None:
    """The gateway, with the gate."""
    Tables.apply = apply  # type: ignore[method-assign]
    sys.argv[1:1] = ["run"]
    main()


if __name__ == "__main__":
    run()
