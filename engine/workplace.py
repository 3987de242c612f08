"""A hidden folder to build a restore in (engine/workbench.py), with room for it; gone at the end, whatever happens."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine import workbench
from engine.errors import EngineError, NoRoomError, RestoreError
from engine.files import remove_tree, room
from engine.targettree import refuse_planted

BUILDING = ".backup4d-restoring-"


@contextmanager
def workplace(folder: Path, needed: int, tag: str = "") -> Iterator[Path]:
    """A new hidden folder in `folder`, which must have `needed` bytes free; what is left in it at the end goes.

    By its `tag`, whoever made it can tell it from others when it is dead (`remove_own_dead`). Raises NoRoomError, RestoreError.
    """
    remove_dead(folder)
    try:
        free = room(folder)
        if free < needed:
            raise NoRoomError(
                f"{folder} has {free >> 20} MiB free, the restored files need {needed >> 20} MiB"
            )
        building, descriptor = workbench.make_held(folder, f"{BUILDING}{tag}")
        try:
            refuse_planted(descriptor)
            # what comes back may be open to everybody inside: who could not look into the application shall not here
            os.fchmod(descriptor, 0o750)
        except OSError:
            os.close(descriptor)
            raise
    except OSError as error:
        raise RestoreError(
            f"{folder} cannot be written: {error.strerror}",
            hint="name another folder with --to, one in which this user may make files",
        ) from error
    try:
        yield building
    except BaseException as error:
        _discard(building, descriptor, error)
        raise
    _discard(building, descriptor, None)


def remove_dead(folder: Path) -> None:
    """What restores that were killed left here."""
    workbench.remove_dead(folder, BUILDING)


def remove_own_dead(folder: Path, tag: str) -> None:
    """Those with this tag. Others are left to the next restore there: the locks of another machine may not be seen."""
    workbench.remove_dead(folder, f"{BUILDING}{tag}")


def _discard(building: Path, descriptor: int, failure: BaseException | None) -> None:
    """After a success what remains is told by nobody: it has a hidden name, and the next restore removes it."""
    try:
        remove_tree(building)
    except FileNotFoundError:
        pass  # it was renamed: the restore succeeded
    except OSError as error:
        if isinstance(failure, EngineError):
            failure.hint = f"{failure.hint}; remove {building} ({error.strerror})".removeprefix(
                "; "
            )
    finally:
        os.close(descriptor)
