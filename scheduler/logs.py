"""The service's log on standard error: with journald's priorities under systemd, with times elsewhere."""

import logging
import sys

from engine.printable import printable

_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))


class LogFormatter(logging.Formatter):
    """Names in what is logged must not act on the terminal of who reads it."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _JournaldFormatter(LogFormatter):
    """`<3>text`: sd-daemon(3) takes the number as the priority of the line."""

    def format(self, record: logging.LogRecord) -> str:
        priority = next(number for level, number in _PRIORITIES if record.levelno >= level)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def log_to_stderr(*, journald: bool) -> None:
    """Log from INFO on; other people's libraries from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _JournaldFormatter("%(message)s")
        if journald
        else LogFormatter("%(asctime)s %(levelname)s %(message)s")
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for package in ("engine", "scheduler", "settings"):
        logging.getLogger(package).setLevel(logging.INFO)
