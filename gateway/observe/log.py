"""Log lines to stderr, for people or for machines.  Never a payload, never a password."""

import json
import logging
import sys
import time
from typing import Final, final

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

TIME: Final = "%Y-%m-%dT%H:%M:%S"


def _add_zone(record: logging.LogRecord) -> bool:
    """Give a record its offset from UTC, as RFC 3339 wants it: `+02:00`."""
    offset = time.strftime("%z", time.localtime(record.created))
    record.zone = f"{offset[:3]}:{offset[3:]}"
    return True


@final
class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

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
        return json.dumps(fields, ensure_ascii=False)


def set_up(level: str, format: str) -> None:
    """Send the gateway's log to stderr.  `level` is a key of LEVELS, `format` text or json."""
    handler = logging.StreamHandler(sys.stderr)
    if format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        formatter = logging.Formatter("%(asctime)s.%(msecs)03d%(zone)s %(levelname)-7s %(message)s", TIME)
        handler.setFormatter(formatter)
        handler.addFilter(_add_zone)
    logger = logging.getLogger("gateway")
    logger.handlers[:] = [handler]
    logger.setLevel(LEVELS[level])
    logger.propagate = False
