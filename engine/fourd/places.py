"""Where the files of an archive go, as 4D's own restore does it: all below one folder, what is of the data in `Data`."""

import fnmatch
import re
from collections.abc import Iterable, Sequence

from engine.errors import RestoreError
from engine.fourd.listing import Entry, Origin

_DATA = "Data"
_BESIDE = (".4dindx", ".4dsyncdata", ".4dsyncheader")


def plan_places(entries: Sequence[Entry], *, as_stored: bool) -> list[str]:
    """A path for each file; nothing says yet that it can be used.

    A data file that the archive holds elsewhere goes to `Data`, with its index and sync files; the `Settings`
    beside it, too, unless that may be the `Settings` of the structure.
    """
    homes = (
        [] if as_stored else [_home_of(one.path) for one in entries if one.origin is Origin.DATA]
    )
    return [_placed(one.path, homes) for one in entries]


def _home_of(path: str) -> tuple[str, str]:
    """The folder of a data file, and its name without ending."""
    folder, _, name = path.rpartition("/")
    return folder, name.rpartition(".")[0].casefold()


def _placed(path: str, homes: Iterable[tuple[str, str]]) -> str:
    folder, _, name = path.rpartition("/")
    stem, dot, ending = name.rpartition(".")
    for home, data in homes:
        if home.rpartition("/")[2] == _DATA:
            continue
        is_beside = (dot + ending).casefold() in (*_BESIDE, ".4dd")
        if folder == home and stem.casefold() == data and is_beside:
            return f"{_DATA}/{name}"
        if path.startswith(f"{home}/Settings/"):
            return f"{_DATA}/{path[len(home) + 1 :]}"
    return path


def choose_files(entries: Sequence[Entry], patterns: Sequence[str]) -> set[int]:
    """The numbers of the files that are wanted; a folder means all below it. Raises RestoreError when nothing is."""
    if not patterns:
        return set(range(len(entries)))
    chosen: set[int] = set()
    for pattern in patterns:
        bare = pattern.removeprefix("./").strip("/")
        matches = re.compile(f"{fnmatch.translate(bare)}|{fnmatch.translate(bare + '/*')}")
        found = {at for at, one in enumerate(entries) if matches.fullmatch(one.path)}
        if not found:
            raise RestoreError(
                f"nothing in the archive is {pattern!r}; nothing was written",
                hint="`backup4d 4bk list` shows the paths of an archive as they are written here",
            )
        chosen |= found
    return chosen
