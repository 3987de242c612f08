"""How a person or the service asks a running operation to stop (4D's Stop button)."""

import threading

from engine.errors import StoppedError


class StopRequest:
    """Set from a signal handler or another thread; looked at between blocks of work."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._why = "stopped by the user"

    def ask(self, why: str = "stopped by the user") -> None:
        """Ask for the stop; only sets a flag, so it is safe in a signal handler."""
        self._why = why
        self.event.set()

    def check(self) -> None:
        """Raise StoppedError when a stop was asked for."""
        if self.event.is_set():
            raise StoppedError(self._why)
