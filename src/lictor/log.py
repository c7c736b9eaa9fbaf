"""Log lines on standard error: time, level, area, sentence; text for people or JSON for machines."""

from __future__ import annotations

import json
import logging
import sys

LEVELS = {
    "trace": 5,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "area": record.name.removeprefix("lictor."),
            "msg": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line)


def setup(level: str = "info", form: str = "text") -> None:
    """Send our log, and the errors of the gRPC library, to standard error. `form` is `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _JsonFormatter()
        if form == "json"
        else logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    )
    for name, least in (("lictor", LEVELS[level]), ("grpclib", logging.ERROR)):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(least)
        logger.propagate = False


def set_level(level: str) -> None:
    """How much our log says from now on; a name of `LEVELS`."""
    logging.getLogger("lictor").setLevel(LEVELS[level])


def level() -> str:
    """How much our log says: error, warn, info, debug or trace."""
    number = logging.getLogger("lictor").getEffectiveLevel()
    return next((name for name, least in LEVELS.items() if least >= number), "error")


def fields(**values: object) -> dict[str, dict[str, object]]:
    """Values of their own in a JSON line, none in a text: `_log.warning("…", extra=log.fields(dropped=3))`."""
    return {"fields": values}


def get(name: str) -> logging.Logger:
    """The logger of one area, for example `get("pipeline")`."""
    return logging.getLogger(f"lictor.{name}")
