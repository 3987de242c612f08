"""The files that belong together: the data file and what lies beside it under its name, its log excepted.

The index is one of them. Each can be whole and still not fit the others, when one was written to between the
readings of two; so they are read first, one after the other, and looked at before and after.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from engine.content import Root, archive_path
from engine.member import Role
from engine.plan import Sources
from engine.sourcefile import OPEN, is_still, make_clean
from settings.layout import DatabaseLayout

Look = Mapping[bytes, os.stat_result | None]


def find_together(sources: Sources, layout: DatabaseLayout) -> tuple[Root, ...]:
    """Of what is saved: the data file first, then those beside it; none when the data is not saved."""
    path = archive_path(layout.data_file, layout)
    data = next((root for root in sources.roots if root.path == path), None)
    if data is None:
        return ()
    beside = [root for file in _beside(data.source) if (root := _saved_as(file, sources))]
    return (data, *(root for root in beside if root.path != sources.log_path))


def _beside(data: Path) -> Iterator[Path]:
    with suppress(OSError):  # the reading meets it again, and says what it means
        names = sorted(os.listdir(data.parent))  # noqa: PTH208 - names, not paths
        for name in names:
            file = data.parent / name
            is_like = file.stem == data.stem and file != data
            if is_like and file.is_file() and not file.is_symlink():
                yield file


def _saved_as(file: Path, sources: Sources) -> Root | None:
    """The file as a root of its own, when it is one or lies in one."""
    for root in sources.roots:
        if file.is_relative_to(root.source):
            inside = os.fsencode(file.relative_to(root.source))
            prefix = b"" if root.path == b"." else root.path
            path = root.path if inside == b"." else b"/".join(filter(None, (prefix, inside)))
            return Root(file, path, root.role)
    return None


def look_at_together(roots: Sequence[Root]) -> Look:
    """What the file system says of them; written to from now on, also through a mapping, they say otherwise."""
    found: dict[bytes, os.stat_result | None] = {}
    for root in roots:
        found[root.path] = None
        with suppress(OSError):
            descriptor = os.open(root.source, OPEN)
            try:
                facts = os.fstat(descriptor)
                found[root.path] = facts
                make_clean(descriptor, facts.st_size)
            finally:
                os.close(descriptor)
    return found


def are_as_before(before: Look, after: Look) -> bool:
    """Nobody wrote to any of them, and they are the same files."""
    return before.keys() == after.keys() and all(
        _is_same(facts, after[path]) for path, facts in before.items()
    )


def _is_same(before: os.stat_result | None, after: os.stat_result | None) -> bool:
    if before is None or after is None:
        return before is after
    return os.path.samestat(before, after) and is_still(before, after, Role.DATA)
