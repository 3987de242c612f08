"""How a person or the service asks a running operation to stop (4D's Stop button)."""

from engine.errors import Code, StoppedError


class StopRequest:
    """Set from a signal handler or another thread; looked at between blocks of work.

    A plain flag on purpose: an Event has a lock, and a signal handler that meets it held waits for ever.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._why = "stopped by the user"
        self._code = Code.STOPPED

    def ask(self, why: str = "stopped by the user", code: Code = Code.STOPPED) -> None:
        """Ask for the stop; only sets a flag, so it is safe in a signal handler."""
        self._why, self._code = why, code
        self.is_asked = True

    def check(self) -> None:
        """Raise StoppedError when a stop was asked for."""
        if self.is_asked:
            raise StoppedError(self._why, code=self._code)
