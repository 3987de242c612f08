"""Files of a set repaired from PAR2 recovery data beside them, and written back when they are proved.

The par2 program works in a hidden folder on clones or links; the damaged file stays as it is until the
repaired one has the SHA-256 that the set says, and is then replaced by one rename.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.errors import (
    BusyError,
    DamagedError,
    DestinationError,
    MissingSetError,
    NoRoomError,
)
from engine.files import destination_failure, fsync_folder, room
from engine.manifest import CHECKSUMS, MANIFEST
from engine.par2files import Protected, Recovery, is_plain, is_there, read_recoveries
from engine.par2run import Told, find_par2, run_par2
from engine.progress import Progress, Report
from engine.setdigests import FileDigests, Recorded, read_digests, read_recorded
from engine.stop import StopRequest
from engine.targettree import FOLDER
from engine.workbench import Workbench, lend, remove_dead, workbench

_REPAIRING = ".backup4d-repairing-"
_PROVED_BY_MD5 = "no SHA-256 of it is known; its MD5 is the one in the recovery data"
_HINT = "use another set, and keep this one: what is readable in it can still be salvaged"


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair did: the names of the files that were replaced, and what a journal should say."""

    folder: Path
    files: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Proved:
    """A repaired file that has the right digests, still in the hidden folder."""

    name: str
    file: Path
    proof: str


def has_parity(folder: Path) -> bool:
    """Whether there is recovery data in a folder, by the names in it."""
    return is_there(folder)


def tidy_up(folder: Path) -> None:
    """Remove what repairs of sets in this place left that were killed."""
    for place in (folder.parent, folder):
        remove_dead(place, _REPAIRING)


def repair_set(folder: Path, *, stop: StopRequest, report: Report) -> Repair:
    """Repair the files of a set from its recovery data and write them back.

    Nothing is changed but files that are damaged or missing, each replaced by a proved one. What can be
    repaired is, also when something else cannot. Raises DamagedError when there is not enough recovery
    data, NoRoomError, DestinationError when the set cannot be written, EngineError when the par2 program
    is missing, BusyError, StoppedError.
    """
    try:
        with _held(folder):
            tidy_up(folder)
            return _Repairing(folder, stop, report).repair()
    except OSError as error:
        raise destination_failure(folder.parent, f"repairing {folder.name}", error) from error


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """One repair of a set at a time, and only where it can be written."""
    try:
        descriptor = os.open(folder, FOLDER)
    except OSError as error:
        raise MissingSetError(f"{folder} cannot be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(
                f"another repair of {folder} is on", hint="wait for it to end"
            ) from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise DestinationError(
                f"{folder} cannot be written, so nothing in it can be repaired; nothing was changed",
                hint="run it as the user that owns the set, on a volume that is not read-only",
            )
        yield
    finally:
        os.close(descriptor)


class _Repairing:
    """One repair: what is damaged, and what was repaired so far."""

    def __init__(self, folder: Path, stop: StopRequest, report: Report) -> None:
        self._folder = folder
        self._stop = stop
        self._report = report
        self._recorded = read_recorded(folder)
        self._recoveries, self._notes = read_recoveries(folder, stop)
        self._protected: dict[str, list[Protected]] = {}
        for recovery in self._recoveries:
            for one in recovery.protected:
                self._protected.setdefault(one.name, []).append(one)
        self._failures: list[str] = []
        self._repaired: list[str] = []

    def repair(self) -> Repair:
        damaged = self._find_damaged(self._names())
        if not damaged:
            return Repair(self._folder, (), ("nothing is damaged", *self._notes))
        for recovery in self._recoveries:
            targets = [one for one in recovery.protected if one.name in damaged]
            if targets:
                damaged -= self._repair_from(recovery, targets)
        if damaged and self._repaired:  # a list that was repaired may tell that others are good
            self._recorded = read_recorded(self._folder)
            damaged = self._find_damaged(damaged)
        if damaged:
            raise self._beyond_repair(damaged)
        return Repair(self._folder, tuple(self._repaired), tuple(self._notes))

    def _names(self) -> set[str]:
        """The files of the set that are known of, by its lists or by the recovery data."""
        listed = {name for name in self._recorded.names() if is_plain(name)}
        return listed | {name for name in self._protected if self._recorded.is_of_set(name)}

    def _find_damaged(self, names: set[str]) -> set[str]:
        """Those that are missing or not what they were."""
        found = self._read_all(sorted(names))
        return {
            name
            for name in names
            if not _is_good(name, found[name], self._recorded, self._protected.get(name, []))
        }

    def _read_all(self, names: list[str]) -> dict[str, FileDigests | None]:
        files = {name: self._folder / name for name in names}
        total = sum(file.lstat().st_size for file in files.values() if os.path.lexists(file))
        done = 0

        def read(count: int) -> None:
            nonlocal done
            done += count
            self._report(Progress(f"looking for damage in {self._folder.name}", done, total))

        return {name: read_digests(file, self._stop, read) for name, file in files.items()}

    def _repair_from(self, recovery: Recovery, targets: list[Protected]) -> set[str]:
        """The names that were repaired with one recovery set; why others were not is kept."""
        program = find_par2()
        with workbench(self._room_in(targets), _REPAIRING) as work:
            files, parity = _furnish(work, self._folder, recovery)
            told = self._progress(recovery)
            answer = run_par2(program, files, parity, work.descriptor, stop=self._stop, told=told)
            if not answer.is_enough:
                self._failures.append(f"{recovery.name} {answer.shortage}")
                return set()
            proved = self._prove(files, recovery, targets)
            self._stop.check()
            for one in proved:
                self._put_in_place(one)
        if proved:
            self._notes.append(
                f"{recovery.name}: {answer.lost} of {answer.blocks} blocks were lost,"
                f" {answer.recovery} recovery blocks were there"
            )
        return {one.name for one in proved}

    def _room_in(self, targets: list[Protected]) -> Path:
        """Where to work: beside the set when that is the same file system and can be written, else in it."""
        beside = self._folder.parent
        is_same = beside.stat().st_dev == self._folder.stat().st_dev
        place = beside if is_same and os.access(beside, os.W_OK | os.X_OK) else self._folder
        needed, free = sum(one.size for one in targets), room(place)
        if free < needed:
            raise NoRoomError(
                f"{place} has {free >> 20} MiB free, the repaired files need {needed >> 20} MiB;"
                " nothing was changed",
                hint="free room there: the damaged file is kept until the repaired one is proved",
            )
        return place

    def _progress(self, recovery: Recovery) -> Told:
        total = sum(one.size for one in recovery.protected)

        def tell(step: str, share: float) -> None:
            phase = f"repairing {self._folder.name}, {step}"
            self._report(Progress(phase, int(total * share), total))

        return tell

    def _prove(self, files: Path, recovery: Recovery, targets: list[Protected]) -> list[_Proved]:
        """Those of the targets that were repaired and are right."""
        recorded = [self._recorded]
        if not self._recorded.agree:
            recorded.append(read_recorded(files))
        proved: list[_Proved] = []
        for target in targets:
            file = files / target.name
            found = read_digests(file, self._stop, lambda _: None)
            if found is None or (found.size, found.md5) != (target.size, target.md5):
                self._failures.append(f"{recovery.name} did not bring back {target.name}")
                continue
            proof = _proof(target.name, found, recorded)
            if proof is None:
                self._failures.append(
                    f"{recovery.name} was made for another {target.name}:"
                    " what it brings back does not have the SHA-256 that the set says"
                )
                continue
            proved.append(_Proved(target.name, file, proof))
        return proved

    def _put_in_place(self, proved: _Proved) -> None:
        """Durable first, then over the damaged one: no moment at which neither is there."""
        target = self._folder / proved.name
        like = _like(target)
        with proved.file.open("rb") as stream:
            if os.geteuid() == 0:
                os.fchown(stream.fileno(), like.st_uid, like.st_gid)
            os.fchmod(stream.fileno(), stat.S_IMODE(like.st_mode))
            os.fsync(stream.fileno())
        proved.file.replace(target)
        fsync_folder(self._folder)
        self._repaired.append(proved.name)
        self._notes.append(f"{proved.name} repaired: {proved.proof}")

    def _beyond_repair(self, damaged: set[str]) -> DamagedError:
        reasons = list(self._failures)
        if bare := sorted(damaged - self._protected.keys()):
            reasons.append(f"no recovery data that can be used protects {', '.join(bare)}")
        before = f"{', '.join(self._repaired)} was repaired; " if self._repaired else ""
        names = ", ".join(sorted(damaged))
        why = "; ".join([*reasons, *(note for note in self._notes if "is not used" in note)])
        after = "" if self._repaired else "; nothing was changed"
        return DamagedError(
            f"{before}{names} in {self._folder} cannot be repaired: {why}{after}", hint=_HINT
        )


def _is_good(
    name: str, found: FileDigests | None, recorded: Recorded, protected: list[Protected]
) -> bool:
    """Whether a file is as the set says, or where the set says nothing sure, as the recovery data says."""
    if found is None:
        return False
    if recorded.agree and name in (MANIFEST, CHECKSUMS):
        return True
    if found.sha256 in recorded.wanted(name):
        return True
    if recorded.agree and recorded.wanted(name):
        return False
    if any((one.size, one.md5) == (found.size, found.md5) for one in protected):
        return True
    # a list that does not agree with the other and that nothing else tells of is doubtful, not damaged
    return not protected and not recorded.wanted(name) and name != CHECKSUMS


def _proof(name: str, found: FileDigests, recorded: list[Recorded]) -> str | None:
    """Why a repaired file is right, in words; None when it is not what the set says."""
    wanted = {
        digest: source for one in reversed(recorded) for digest, source in one.wanted(name).items()
    }
    if found.sha256 in wanted:
        return f"its SHA-256 is the one in {wanted[found.sha256]}"
    return None if wanted else _PROVED_BY_MD5


def _furnish(work: Workbench, folder: Path, recovery: Recovery) -> tuple[Path, Path]:
    """Two folders to work with: what is there of the protected files, and the recovery data under names of ours."""
    files, parity = work.folder / "files", work.folder / "parity"
    files.mkdir()
    parity.mkdir()
    for one in recovery.protected:
        source = folder / one.name
        if os.path.lexists(source) and stat.S_ISREG(source.lstat().st_mode):
            lend(source, files / one.name)
    for at, file in enumerate(recovery.files):
        lend(file, parity / ("recovery.par2" if at == 0 else f"recovery.vol{at:05d}.par2"))
    return files, parity / "recovery.par2"


def _like(target: Path) -> os.stat_result:
    """Whose owner and mode a repaired file gets: those of the file before, else of another one of the set."""
    beside = sorted(target.parent.iterdir(), key=lambda file: file.name.lower().endswith(".par2"))
    for file in (target, target.with_name(MANIFEST), target.with_name(CHECKSUMS), *beside):
        if os.path.lexists(file) and stat.S_ISREG((facts := file.lstat()).st_mode):
            return facts
    return target.parent.stat()
