"""A set source made from archive files alone: no database, no manifest, no settings, no history."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.archivefiles import find_archives
from engine.errors import DamagedError, MissingSetError, RestoreError
from engine.manifest import CHECKSUMS, MANIFEST
from engine.progress import Report
from engine.reconstruct import Reconstruction
from engine.setsource import SetSource
from engine.stop import StopRequest
from engine.workplace import workplace


@contextmanager
def bare_source(
    folder: Path,
    only: str | None,
    room_in: Path,
    *,
    workers: int,
    stop: StopRequest,
    report: Report,
) -> Iterator[SetSource]:
    """The archive file `only` in `folder`, or all of its archives; the manifest made of them lies in `room_in`.

    Raises DamagedError when anything of it cannot be read, MissingSetError that names a missing segment,
    RestoreError, StoppedError.
    """
    archives = find_archives(folder, only)
    missing = [name for archive in archives for name in archive.missing]
    if missing:
        raise MissingSetError(
            f"{', '.join(missing)} is missing in {folder}",
            hint="bring the missing segments beside the others; --salvage restores what the others hold",
        )
    with workplace(room_in, 0) as scratch:
        builder = Reconstruction(folder, scratch, workers=workers, stop=stop, report=report)
        rebuilt = builder.run(archives)
        if rebuilt.problems:
            raise DamagedError(
                "; ".join(rebuilt.problems[:3]),
                hint="--salvage brings back what can be read, with a report of every file",
            )
        if rebuilt.unproved:
            raise RestoreError(
                f"{rebuilt.source.notes[-1]}; nothing was restored",
                hint=f"bring {CHECKSUMS} or {MANIFEST} beside it; --salvage brings back what it holds, unproved",
            )
        yield rebuilt.source
