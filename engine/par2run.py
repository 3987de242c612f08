"""The par2 program at work: started, its progress told, its answer read."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.errors import Code, EngineError, NoRoomError
from engine.stop import StopRequest
from engine.tool import Ended, find_tool, run_tool

Told = Callable[[str, float], None]

# par2 would take half of the machine's memory; 4D needs it more
_MEMORY_MIB = 512
_DONE, _TOO_LITTLE, _TOO_DAMAGED, _WRONG = 0, 2, 4, 5
_SHARE = re.compile(r"(\w+).*?(\d+(?:\.\d+)?)%$")
_STEPS = {"Scanning": "looking for whole blocks", "Repairing": "computing what is lost"}
_BLOCKS = re.compile(r"You have (\d+) out of (\d+) data blocks available")
_RECOVERY = re.compile(r"You have (\d+) recovery blocks available")
_LINES_KEPT = 200


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
    """The par2 program. Raises EngineError when it is not installed."""
    return find_tool("par2", "par2", "without it recovery data is of no use")


def run_par2(
    program: str, files: Path, parity: Path, lock: int, *, stop: StopRequest, told: Told
) -> Par2Answer:
    """Repair what is in `files` from `parity` and its volumes; `lock` stays held as long as par2 lives.

    Raises NoRoomError, StoppedError, EngineError when par2 fails.
    """
    heard = _Heard(told)
    command = [program, "repair", f"-m{_MEMORY_MIB}", f"-B{files}", "--", str(parity)]
    ended = run_tool(command, files, stop=stop, hear=heard.hear, kept_open=(lock,))
    text = "\n".join(heard.lines)
    if ended.code in (_DONE, _TOO_LITTLE, _TOO_DAMAGED, _WRONG):
        return _answer(ended.code, text)
    raise _failure(ended, text)


def _answer(code: int, text: str) -> Par2Answer:
    blocks, recovery = _BLOCKS.search(text), _RECOVERY.search(text)
    total, there = (int(blocks[2]), int(blocks[1])) if blocks else (0, 0)
    return Par2Answer(code, total, total - there, int(recovery[1]) if recovery else 0)


def _failure(ended: Ended, text: str) -> EngineError:
    said = [line for line in f"{text}\n{ended.errors}".splitlines() if line.strip()]
    last = said[-1] if said else "it said nothing"
    if "No space left" in text + ended.errors:
        return NoRoomError(
            "no room left while par2 wrote the repaired files; nothing was changed",
            hint="free room beside the set, then try again",
        )
    how = f"was killed by signal {-ended.code}" if ended.code < 0 else f"failed ({ended.code})"
    return EngineError(
        f"par2 {how}: {last}; nothing was changed",
        hint="try again; when it fails again, see the system's log for want of memory or a failing disk",
        code=Code.DONE,
    )


class _Heard:
    """What par2 writes: shares of its steps, each over the one before, and lines."""

    def __init__(self, told: Told) -> None:
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
            elif found[1] in _STEPS:
                self._told(_STEPS[found[1]], min(1.0, float(found[2]) / 100))
