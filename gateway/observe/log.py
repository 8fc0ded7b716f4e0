"""Log lines to stderr, for people or for machines.  Never a payload, never a password."""

import json
import logging
import sys
import time
from types import TracebackType
from typing import Final, final

from gateway.observe.bugs import BUGS

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

TIME: Final = "%Y-%m-%dT%H:%M:%S"

_CONTROLS: Final = {number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160))} | {
    number: f"\\u{number:x}" for number in (0x2028, 0x2029)
}

log = logging.getLogger("gateway")


def _add_zone(record: logging.LogRecord) -> bool:
    """Give a record its offset from UTC, as RFC 3339 wants it: `+02:00`."""
    offset = time.strftime("%z", time.localtime(record.created))
    record.zone = f"{offset[:3]}:{offset[3:]}"
    return True


@final
class TextFormatter(logging.Formatter):
    """A line for people: one, whatever a client has put into a name."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03d%(zone)s %(levelname)-7s %(message)s", TIME)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        record.message = record.message.translate(_CONTROLS)
        return super().formatMessage(record)


@final
class JsonFormatter(logging.Formatter):
    """One JSON object a line, in ASCII: it is JSON whatever stderr's encoding is."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        fields = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def set_up(level: str, format: str) -> None:
    """Send the log to stderr, that of libraries from warnings on.  `level` is a key of LEVELS, `format` text or json."""
    handler = logging.StreamHandler(sys.stderr)
    if format == "json":
        handler.setFormatter(JsonFormatter())
        sys.excepthook = _log_bug
    else:
        handler.setFormatter(TextFormatter())
        handler.addFilter(_add_zone)
    handler.addFilter(BUGS)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    log.setLevel(LEVELS[level])
    logging.captureWarnings(True)


def _log_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    log.critical("internal error, the gateway ends", exc_info=(kind, error, trace))
