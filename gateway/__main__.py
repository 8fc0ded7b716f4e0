"""`gateway`, and `python -m gateway`: the command, with an eye on signals that come before it has been imported."""

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """The console command."""
    if sys.argv[1:2] == ["run"]:
        _heed_signals()
    try:
        # Not earlier: it takes a good part of a second.
        from gateway.cli.main import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except OSError as error:
        # Above all a disk that does not take what is said.  What is still to be written would fail again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(f"gateway: {error}")


def _heed_signals() -> None:
    """Until the gateway takes signals itself: what stops it stops it in order (0), for nothing is open yet."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _nothing_to_stop)
    if hasattr(signal, "SIGHUP"):
        # Whoever asks a gateway to reload before it has started must not end it.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _nothing_to_stop(_: int, __: FrameType | None) -> None:
    # An exception could come up where nobody lets it through, as in a callback of an import.
    os._exit(0)


if __name__ == "__main__":
    main()
