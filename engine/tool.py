"""Another program at work for us: found, heard while it works, stopped when asked, given up when it is silent."""

import os
import selectors
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen  # noqa: TID251 - the type only; engine.host starts it

from engine.errors import Code, EngineError
from engine.host import end_tool, start_tool
from engine.stop import StopRequest

SILENCE_SECONDS = 1800.0
_LOOK_SECONDS = 0.25
_CHUNK = 1 << 18
_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit code, negative the signal that killed it, and the end of its complaints."""

    code: int
    errors: str


def find_tool(name: str, package: str, why: str) -> str:
    """The path of a program: beside our own interpreter, else in PATH. Raises EngineError when it is not there."""
    beside = Path(sys.executable).with_name(name)
    if os.access(beside, os.X_OK):
        return str(beside)
    found = shutil.which(name)
    if found is None:
        raise EngineError(
            f"the program {name} is not installed; {why}",
            hint=f"apt install {package}, then try again",
            code=Code.DONE,
        )
    return found


def run_tool(
    command: Sequence[str],
    folder: Path,
    *,
    stop: StopRequest,
    hear: Callable[[bytes], None],
    kept_open: Sequence[int] = (),
) -> Ended:
    """Run a program in `folder` and hand what it writes to `hear`. It never outlives this call.

    Raises StoppedError, EngineError when it cannot be started or says nothing for half an hour, and what
    `hear` raises.
    """
    with tempfile.TemporaryFile() as errors:
        try:
            process = start_tool(command, folder, errors, kept_open)
        except OSError as error:
            raise EngineError(
                f"{command[0]} cannot be started: {error.strerror}",
                hint="the machine may be short of memory or processes",
            ) from error
        try:
            _listen(process, Path(command[0]).name, stop, hear)
        finally:
            end_tool(process)
        errors.seek(-min(_TAIL_BYTES, errors.tell()), os.SEEK_END)
        return Ended(process.returncode, errors.read().decode("utf-8", "replace").strip())


def _listen(
    process: "Popen[bytes]", name: str, stop: StopRequest, hear: Callable[[bytes], None]
) -> None:
    """Until it has ended; what it wrote is all heard then."""
    assert process.stdout is not None  # noqa: S101 - start_tool made the pipe
    quiet, is_open = 0.0, True
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(ended := os.pidfd_open(process.pid), selectors.EVENT_READ)
        try:
            while is_open or process.poll() is None:
                stop.check()
                ready = selector.select(_LOOK_SECONDS)
                quiet = 0.0 if ready else quiet + _LOOK_SECONDS
                if quiet > SILENCE_SECONDS:
                    raise EngineError(
                        f"{name} said nothing for {SILENCE_SECONDS / 60:.0f} minutes and was ended",
                        hint="the disk may hang; see the system's log, then try again",
                    )
                if any(key.fileobj is process.stdout for key, _ in ready):
                    data = os.read(process.stdout.fileno(), _CHUNK)
                    hear(data)
                    if not data:
                        is_open = False
                        selector.unregister(process.stdout)
                elif ready:
                    return  # it has ended; a pipe that is still open then is some child's
        finally:
            os.close(ended)
