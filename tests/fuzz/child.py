"""One target in a process of its own: counts, watches time and memory, keeps what fails."""

import hashlib
import json
import mmap
import os
import resource
import struct
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes import peak_kib
from tests.fuzz.engines import coverage_guide, instrumented, run_blind, run_guided

MODULES = [
    "tests.fuzz.small_files",
    "tests.fuzz.archives",
    "tests.fuzz.fourd",
    "tests.fuzz.sockets",
]
CURRENT, COUNT, FAILURES = "current", "count", "failures"
SLOW_SECONDS = 5.0
_GROWTH_KIB = 512 << 10
_ADDRESSES = 16 << 30
_PRODUCT = ("/settings/", "/engine/", "/scheduler/")


@dataclass(slots=True)
class Watched:
    """A target whose executions are counted; a failure is written down once for each place it comes from."""

    target: Any
    folder: Path
    count: mmap.mmap
    done: int = 0

    def __call__(self, data: bytes) -> None:
        (self.folder / CURRENT).write_bytes(data)
        began, had = time.monotonic(), peak_kib()
        try:
            self.target.execute(data)
        except Exception as error:  # noqa: BLE001 - whatever is not documented is a failure
            self._keep(data, _place_of(error), "".join(traceback.format_exception(error)[-12:]))
        seconds, grown = time.monotonic() - began, peak_kib() - had
        if seconds > SLOW_SECONDS:
            self._keep(data, "slow", f"{seconds:.1f} seconds")
        if grown > _GROWTH_KIB and self.done:
            self._keep(data, "memory", f"{grown >> 10} MiB more")
        self.done += 1
        struct.pack_into("<Q", self.count, 0, self.done)

    def _keep(self, data: bytes, place: str, why: str) -> None:
        name = hashlib.sha256(place.encode()).hexdigest()[:12]
        file = self.folder / FAILURES / name
        if not file.exists() or file.stat().st_size > len(data):
            file.write_bytes(data)
            file.with_suffix(".txt").write_text(f"{place}\n{why}")


def _place_of(error: BaseException) -> str:
    """The kind of error and the last line of the product it passed."""
    lines = [
        f"{frame.filename}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if any(part in frame.filename for part in _PRODUCT) and "/tests/" not in frame.filename
    ]
    return f"{type(error).__name__} {lines[-1] if lines else 'in the target itself'}"


def main(name: str, folder: Path, seconds: float, seed: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
    guide = None if os.environ.get("BACKUP4D_FUZZ_BLIND") else coverage_guide()
    modules = (
        instrumented(guide, MODULES)
        if guide
        else [__import__(one, fromlist=["x"]) for one in MODULES]
    )
    (target,) = (one for module in modules for one in module.TARGETS if one.name == name)
    (folder / FAILURES).mkdir()
    file = folder / COUNT
    file.write_bytes(bytes(8))
    with file.open("r+b") as stream:
        watched = Watched(target, folder, mmap.mmap(stream.fileno(), 8))
    seeds = target.seeds()
    (folder / "how.json").write_text(json.dumps({"guided": guide is not None}))
    if guide is None:
        end = time.monotonic() + seconds
        run_blind(watched, seeds, target.words, is_over=lambda: time.monotonic() > end, seed=seed)
        return
    corpus = folder / "corpus"
    corpus.mkdir()
    for at, data in enumerate(seeds):
        (corpus / f"{at:04d}").write_bytes(data)
    run_guided(guide, watched, corpus, target.words, seconds=seconds, seed=seed)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
