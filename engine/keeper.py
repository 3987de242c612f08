"""The process beside a run that keeps one hook: starts it, listens to it, and ends it with its children in time.

It is a process of its own so that no hook outlives a run that was killed. Its standard input is a JSON line that
says what to start, and then the run's wish that the hook goes on: when it ends, by will or by death, a guard is
told to let go and any other hook is ended. What happens is told on standard output, one JSON object a line.
"""

import json
import os
import selectors
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from subprocess import Popen  # noqa: TID251 - the type only; engine.host starts it
from typing import Any

from engine.host import Clock, HostClock, pause, start_hook

GRACE_SECONDS = 5.0
TAIL_BYTES = 4096
READY = ("ready", "ready to clone")
_READY = tuple(word.encode() for word in READY)
_CHUNK = 1 << 16
_LAST_CHUNKS = 64  # after its end, what a daemon it left behind goes on writing is of no interest


class _Keeper:
    """One hook from its start to its end.

    `_how` says why it was ended, empty while it may go on and when it ended by itself. `_deadline` is the
    next moment at which something must have happened.
    """

    def __init__(self, process: "Popen[bytes]", order: dict[str, Any], clock: Clock) -> None:
        self._process = process
        self._clock = clock
        self._is_guard = bool(order["guard"])
        self._limit = float(order["seconds"])
        self._unsaid = str(order["input"]).encode("ascii") + b"\n"
        self._how = ""
        self._signals = [signal.SIGKILL, signal.SIGTERM]
        self._deadline: float | None = clock.monotonic() + self._limit
        self._ready_at: float | None = None
        self._over = False
        self._line = b""
        assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018 - start_hook made the pipes
        self._in, self._out = process.stdin, process.stdout.fileno()
        self._tails = {self._out: b"", process.stderr.fileno(): b""}
        self._selector = selectors.DefaultSelector()

    def keep(self) -> None:
        """Stay with the hook until it has ended, and say how."""
        for descriptor in (self._in.fileno(), *self._tails):
            os.set_blocking(descriptor, False)
        for descriptor in self._tails:
            self._listen(descriptor, self._hear)
        self._listen(sys.stdin.fileno(), self._run_is_done)
        self._listen(os.pidfd_open(self._process.pid), self._exited)
        self._selector.register(self._in, selectors.EVENT_WRITE, self._tell)
        while not self._over:
            self._wait()
        if self._how:
            self._sweep()
        self._hear_the_last()
        self._say_end()

    def _listen(self, descriptor: int, heard: Callable[[int], None]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, heard)

    def _wait(self) -> None:
        now = self._clock.monotonic()
        for key, _ in self._selector.select(
            None if self._deadline is None else max(0.0, self._deadline - now)
        ):
            key.data(key.fd)
        if self._deadline is not None and self._clock.monotonic() >= self._deadline:
            self._late()

    # --- what is heard

    def _hear(self, descriptor: int) -> None:
        data = self._take(descriptor)
        if data == b"":
            self._selector.unregister(descriptor)
        if data and descriptor == self._out and self._is_guard and self._ready_at is None:
            self._look_for_ready(data)

    def _take(self, descriptor: int) -> bytes | None:
        """The next bytes and keep the last ones; empty at the end, None when there is nothing now."""
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return None
        self._tails[descriptor] = (self._tails[descriptor] + data)[-TAIL_BYTES:]
        return data

    def _look_for_ready(self, data: bytes) -> None:
        *lines, rest = (self._line + data).split(b"\n")
        self._line = rest[-TAIL_BYTES:]
        said = next((line.strip() for line in lines if line.strip() in _READY), None)
        if not self._how and said is not None:
            self._ready_at = self._clock.monotonic()
            self._deadline = None
            _say(said.decode())

    def _exited(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)
        self._process.wait()
        self._over = True

    def _run_is_done(self, descriptor: int) -> None:
        """The run let go, stopped, or died."""
        self._selector.unregister(descriptor)
        if self._process.poll() is not None:
            return  # it ended before it was told to: the run must hear that and nothing else
        if self._ready_at is None:
            self._end("stopped")
            return
        self._close_input()
        self._deadline = self._clock.monotonic() + self._limit
        _say("let go")

    # --- what is done

    def _tell(self, descriptor: int) -> None:
        """Write what the hook is told; a guard's input stays open behind it."""
        if self._in.closed:
            return  # the same look found that the run is done
        try:
            count = os.write(descriptor, self._unsaid)
        except BlockingIOError:
            return
        except BrokenPipeError:
            count = len(self._unsaid)  # it does not want to know
        self._unsaid = self._unsaid[count:]
        if not self._unsaid:
            self._selector.unregister(descriptor)
            if not self._is_guard:
                self._close_input()

    def _close_input(self) -> None:
        if not self._in.closed:
            with suppress(KeyError):  # all was said
                self._selector.unregister(self._in)
            self._in.close()

    def _late(self) -> None:
        if not self._how:
            waits = self._is_guard and self._ready_at is None
            self._end("not ready" if waits else "time limit")
        else:
            self._signal()

    def _end(self, how: str) -> None:
        self._how = how
        self._close_input()
        self._signal()

    def _signal(self) -> None:
        """SIGTERM, then SIGKILL for the whole group; what survives both is given up."""
        if not self._signals:
            self._over = True
            return
        self._to_group(self._signals.pop())
        self._deadline = self._clock.monotonic() + GRACE_SECONDS

    def _to_group(self, number: int) -> bool:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def _sweep(self) -> None:
        """What the hook started and left in its group has the same grace, and goes."""
        until = self._clock.monotonic() + GRACE_SECONDS
        while self._to_group(0):  # whoever is left keeps the group's number from being given anew
            if self._clock.monotonic() >= until:
                self._to_group(signal.SIGKILL)
                return
            pause(0.02)

    def _hear_the_last(self) -> None:
        for descriptor in self._tails:
            for _ in range(_LAST_CHUNKS):
                if not self._take(descriptor):
                    break

    def _say_end(self) -> None:
        held = None
        if self._ready_at is not None:
            held = self._clock.monotonic() - self._ready_at
        out, err = (tail.decode("utf-8", "replace") for tail in self._tails.values())
        _say("ended", how=self._how, code=self._process.poll(), held=held, out=out, err=err)


def _say(what: str, **facts: str | float | None) -> None:
    with suppress(BrokenPipeError):  # the run is gone; the hook is looked after all the same
        os.write(sys.stdout.fileno(), json.dumps({"said": what, **facts}).encode("ascii") + b"\n")


def main() -> None:
    """Keep the hook that the first line names."""
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return  # the run died before it had said what to start
    order = json.loads(line)
    try:
        process = start_hook(order["command"], order["environment"])
    except OSError as error:
        _say("ended", how="not started", code=None, held=None, out="", err=str(error.strerror))
        return
    _Keeper(process, order, HostClock()).keep()


if __name__ == "__main__":
    main()
