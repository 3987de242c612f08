"""What is read from the application for a set, in which order; who may be missing and who may not.

First the files that belong together, so that they can be judged together; then all else as the roots come. What
was cloned is passed over: it is read when the application is not needed any more.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from engine.archiver import Archiver
from engine.clones import Clone, Clones
from engine.content import Root
from engine.errors import Code, SourceError, StoppedError
from engine.framewriter import FrameWriter
from engine.logstore import store_file
from engine.member import Member, Role
from engine.patience import Patience
from engine.plan import Sources, walk_sources
from engine.reuse import SetBefore, TakenInVain
from engine.sourcefile import Vanished, Watcher
from engine.stop import StopRequest
from engine.together import are_as_before, look_at_together
from engine.untouched import Untouched, untouched_since
from engine.walk import Found


@dataclass(frozen=True, slots=True)
class Intake:
    """What is to be read, and how: `together` are the files that are judged together."""

    sources: Sources
    destination: Path
    together: tuple[Root, ...]
    clones: Clones
    patience: Patience
    stop: StopRequest
    watcher: Watcher
    before: SetBefore

    @property
    def log_clone(self) -> Clone | None:
        """The clone of the log; None when it is read itself."""
        path = self.sources.log_path
        return None if path is None else self.clones.by_path.get(path)


def read_live(intake: Intake, archiver: Archiver) -> dict[bytes, Role]:
    """Read everything that was not cloned; returns what was, with its role, in the order it came."""
    try:
        with untouched_since(intake.before) as untouched:
            return _read_live(intake, archiver, untouched)
    except TakenInVain:
        archiver.start_over()
        return _read_live(intake, archiver, None)


def _read_live(
    intake: Intake, archiver: Archiver, untouched: Untouched | None
) -> dict[bytes, Role]:
    done: set[bytes] = set()
    if len(intake.together) > 1 and not intake.clones.by_path:
        done = _read_together(intake, archiver)
    cloned = _read(intake, archiver, intake.sources, done, untouched)
    if untouched is not None:
        archiver.judge_taken()
    return cloned


def _read_together(intake: Intake, archiver: Archiver) -> set[bytes]:
    """Read the files that belong together until nobody wrote to one of them meanwhile; returns their paths."""
    sources = replace(intake.sources, roots=intake.together)
    while True:
        began = intake.patience.now()
        before = look_at_together(intake.together)
        done: set[bytes] = set()
        _read(intake, archiver, sources, done)
        if are_as_before(before, look_at_together(intake.together)):
            return done
        archiver.start_over()
        intake.patience.again(intake.together[0].path, began)


def _read(
    intake: Intake,
    archiver: Archiver,
    sources: Sources,
    done: set[bytes],
    untouched: Untouched | None = None,
) -> dict[bytes, Role]:
    """Read below these roots what is not done yet; done is what was read, and what need not be."""
    unreadable: list[tuple[bytes, OSError]] = []
    left_out: dict[bytes, str] = {}
    walked = walk_sources(
        sources,
        intake.destination,
        problem=lambda path, error: unreadable.append((path, error)),
        left_out=left_out.__setitem__,
    )
    asked_for = {root.path for root in sources.roots}
    cloned: dict[bytes, Role] = {}
    for root, found in walked:
        if found.path in intake.clones.by_path:
            cloned[found.path] = root.role
        elif found.path not in done:
            done.add(found.path)
            _add_or_wait(archiver, root, found, untouched)
        _judge(unreadable, root, archiver, asked_for)
    for root, found in () if untouched is None else untouched.rest():
        _add(archiver, root, found)
    _judge(unreadable, sources.roots[-1], archiver, asked_for)
    archiver.left_out += [(os.fsdecode(path), why) for path, why in left_out.items()]
    return cloned


def read_cloned(intake: Intake, archiver: Archiver, cloned: Mapping[bytes, Role]) -> None:
    """Read the clones, which nobody writes to."""
    for path, role in cloned.items():
        archiver.add_clone(path, role, intake.clones.by_path[path])


def _add_or_wait(archiver: Archiver, root: Root, found: Found, untouched: Untouched | None) -> None:
    if untouched is None:
        _add(archiver, root, found)
        return
    for its_root, one in untouched.offer(root, found, archiver):
        _add(archiver, its_root, one)


def _add(archiver: Archiver, root: Root, found: Found) -> None:
    """An unreadable or vanished file fails the backup of data and structure, not that of an attachment."""
    try:
        archiver.add(found, root.role)
    except Vanished:
        if found.path != root.path:
            return  # deleted between listing and reading: there was nothing left to save
        if root.role is not Role.ATTACHMENT:
            raise SourceError(f"{root.source} vanished while the backup ran") from None
        archiver.skipped.append((os.fsdecode(found.path), "it vanished while the backup ran"))
    except StoppedError:
        raise
    except SourceError as error:
        if root.role is not Role.ATTACHMENT or error.code == Code.SOURCE_NEVER_QUIET:
            raise
        archiver.skipped.append((os.fsdecode(found.path), str(error)))


def _judge(
    unreadable: list[tuple[bytes, OSError]], root: Root, archiver: Archiver, asked_for: set[bytes]
) -> None:
    while unreadable:
        path, error = unreadable.pop()
        if isinstance(error, FileNotFoundError) and path not in asked_for:
            continue  # deleted between listing and reading: there was nothing left to save
        if root.role is not Role.ATTACHMENT:
            raise SourceError(
                f"{os.fsdecode(path)} cannot be read: {error.strerror}",
                hint="the user that runs backup4d must be able to read it",
            ) from error
        archiver.skipped.append((os.fsdecode(path), f"cannot be read: {error.strerror}"))


def read_log(intake: Intake, frames: FrameWriter) -> Member | None:
    """The log from the application; None when there is none, or it was cloned."""
    log, path = intake.sources.log, intake.sources.log_path
    if log is None or path is None or intake.log_clone is not None:
        return None
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SourceError(
            f"the log {log} cannot be read: {error.strerror}",
            code=Code.LOG_BACKUP_FAILED,
            hint="the user that runs backup4d must be able to read it",
        ) from error
    try:
        return store_file(frames, descriptor, path, intake.watcher, stop=intake.stop)
    finally:
        os.close(descriptor)


def read_cloned_log(intake: Intake, frames: FrameWriter) -> Member | None:
    """The log from its clone; None when it was not cloned."""
    clone, path = intake.log_clone, intake.sources.log_path
    if clone is None or path is None:
        return None
    return store_file(
        frames,
        clone.descriptor,
        path,
        intake.watcher,
        stop=intake.stop,
        attributes=clone.attributes,
    )
