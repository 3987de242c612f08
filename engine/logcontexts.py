"""Who did what: the contexts of a log, opened and closed while it is gone through. Memory stays bounded."""

from dataclasses import dataclass
from typing import Any

from engine.logfile import Record, Window
from engine.logpayload import CLOSE_CONTEXT, CREATE_CONTEXT
from engine.namedvalues import MOST_BYTES, NoValuesError, Value, parse_values

# more at once than any server has; of a hostile log the oldest are forgotten
_MOST_OPEN = 20_000
_LONGEST = 256
_USER, _HOST, _TASK, _VERSION = "user_name", "host_name", "task_name", "client_version"
_ALIAS = "user4d_alias"
_BETA = 0xB
_VERSION_AT, _VERSION_MASK = 28, 0xFFFF


@dataclass(frozen=True, slots=True)
class Context:
    """A process of a user; `values` are the names and values that 4D wrote of it.

    `user` is the system's user, `alias` that of 4D. Names are personal data.
    """

    number: int
    values: dict[str, Value]

    @property
    def user(self) -> str:
        """Empty when it is not told, like the next ones."""
        return self._text(_USER)

    @property
    def alias(self) -> str:
        return self._text(_ALIAS)

    @property
    def host(self) -> str:
        return self._text(_HOST)

    @property
    def words(self) -> str:
        """`user@host`; empty when neither is told."""
        return f"{self.user}@{self.host}" if self.host else self.user

    @property
    def task(self) -> str:
        return self._text(_TASK)

    @property
    def version(self) -> str:
        """`1806`, `2100 beta`: the release of the client, as 4D writes it."""
        number = self.values.get(_VERSION)
        if not isinstance(number, int):
            return ""
        beta = " beta" if number >> _VERSION_AT & 0xF == _BETA else ""
        return f"{number & _VERSION_MASK:04X}{beta}"

    @property
    def plain(self) -> dict[str, Any]:
        """The values that JSON can hold; those whose meaning is not known are left out."""
        return {
            name: value.hex().upper() if isinstance(value, bytes) else value
            for name, value in self.values.items()
            if not isinstance(value, bytes) or len(value) == 16
        }

    def _text(self, name: str) -> str:
        value = self.values.get(name)
        return value[:_LONGEST] if isinstance(value, str) else ""


class Contexts:
    """Those that are open where a log is being read; `unreadable` counts those that are not understood."""

    def __init__(self) -> None:
        self.unreadable = 0
        self._open: dict[int, Context] = {}

    def of(self, window: Window, record: Record) -> Context | None:
        """The context of a record, which may open or close it; None for one that was opened in an earlier log."""
        kind, number = record.kind, abs(record.context)
        if kind == CREATE_CONTEXT:
            self._begin(window, record, number)
        found = self._open.get(number)
        if kind == CLOSE_CONTEXT and found is not None:
            del self._open[number]
        return found

    def _begin(self, window: Window, record: Record, number: int) -> None:
        self._open.pop(number, None)
        if len(self._open) >= _MOST_OPEN:
            del self._open[next(iter(self._open))]
        try:
            values = parse_values(window.payload(record, MOST_BYTES + 1)).values
        except NoValuesError:
            self.unreadable += 1
            values = {}
        self._open[number] = Context(number, values)
