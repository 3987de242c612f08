"""Whether a data file out of a backup of 4D's is of this database: by what it shares with its log, else by its id."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from engine.autorestore import data_in_set
from engine.datalook import Seen, look_at
from engine.errors import EngineError, RefusedError
from engine.sets import StoredSet
from settings.layout import DatabaseLayout


def refuse_another_lineage(file: Path, layout: DatabaseLayout, newest: StoredSet | None) -> None:
    """Compare it with the live data file and the newest set: with one of them it must agree, where it can be told.

    The live file alone says too little: it may be the wrong one, which the import is to put right. Raises RefusedError.
    """
    found = look_at(file)
    if not isinstance(found, Seen):
        return
    differing: list[str] = []
    for known, where in _known(layout, newest):
        verdict = _agrees(found, known)
        if verdict:
            return
        if verdict is False:
            differing.append(where)
    if differing:
        raise RefusedError(
            f"its data file is of another database than {' and '.join(differing)}, though its name is the same:"
            " it has another id; nothing was imported",
            hint="name the database that it is a backup of; else extract it: backup4d 4bk extract",
        )


def _known(layout: DatabaseLayout, newest: StoredSet | None) -> Iterator[tuple[Seen, str]]:
    live = look_at(layout.data_file)
    if isinstance(live, Seen):
        yield live, str(layout.data_file)
    if newest is None:
        return
    with suppress(EngineError, OSError):  # a damaged set tells nothing
        stored = data_in_set(newest.folder).found
        if isinstance(stored, Seen):
            yield stored, f"that in set {newest.number}"


def _agrees(one: Seen, other: Seen) -> bool | None:
    """None when neither id is known on both sides; what is shared with the log survives more than the file's own."""
    pairs = ((one.datalink, other.datalink), (one.identity, other.identity))
    for mine, others in pairs:
        if mine and others and any(mine) and any(others):
            return mine == others
    return None
