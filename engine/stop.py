"""How a person or the service asks a running operation to stop (4D's Stop button)."""

import threading

from engine.errors import Code, StoppedError


class StopRequest:
    """Set from a signal handler or another thread; looked at between blocks of work."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._why = "stopped by the user"
        self._code = Code.STOPPED

    def ask(self, why: str = "stopped by the user", code: Code = Code.STOPPED) -> None:
        """Ask for the stop; only sets a flag, so it is safe in a signal handler."""
        self._why, self._code = why, code
        self.event.set()

    def check(self) -> None:
        """Raise StoppedError when a stop was asked for."""
        if self.event.is_set():
            raise StoppedError(self._why, code=self._code)
