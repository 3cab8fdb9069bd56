"""Logs as JSON lines: static text, values in fields, the trace and turn on every line."""

import json
import logging
import sys
import time
from typing import Any

from parley_messaging.trace_context import current

CONTENT_KEY = "content"
"""The one field under which what people wrote may be logged; dropped unless it is asked for."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One JSON object a record."""

    def __init__(self, service: str, instance: str, *, shows_content: bool) -> None:
        super().__init__()
        self._fixed = {"service": service, "instance": instance}
        self._shows_content = shows_content

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}"
            f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._fixed,
        }
        if context := current():
            line["trace_id"] = context.trace_id
            if context.correlation_id:
                line["turn_id"] = context.correlation_id
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if not self._shows_content:
            line.pop(CONTENT_KEY, None)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=repr, ensure_ascii=False)


def configure_logs(service: str, instance: str, level: str, *, shows_content: bool = False) -> None:
    """Send all logs to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service, instance, shows_content=shows_content))
    logging.root.handlers = [handler]
    logging.root.setLevel(level.upper())
    for noisy in ("uvicorn.access", "uvicorn.error", "httpx", "httpcore", "nats", "faststream"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
