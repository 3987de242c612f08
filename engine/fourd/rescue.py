"""What can be found in an archive whose list of files is lost: content without names, into a new folder."""

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from engine.errors import DamagedError, RestoreError
from engine.files import fsync_folder
from engine.fourd.blockwalk import BlockWalk, Window
from engine.fourd.borders import Borders
from engine.fourd.container import LARGEST, Block, Bytes, Condition, Gap
from engine.fourd.extract import not_written
from engine.fourd.reading import Way
from engine.fourd.trouble import Troubles
from engine.fourd.unpack import Unpacker
from engine.fourd.words import trouble_lines
from engine.logfile import ByteReader
from engine.progress import Progress
from engine.targetfile import flush
from engine.workplace import workplace

REPORT = "EXTRACTION REPORT.txt"
# a hostile archive may hold nothing but borders
_MOST_FILES = 100_000


@dataclass(frozen=True, slots=True)
class Found:
    """One file without a name; `size` is what it says itself, None for a fragment of a file."""

    name: str
    size: int | None
    bytes_there: int


@dataclass(frozen=True, slots=True)
class Rescued:
    """What was found, in the order of the archive; `why` says what is wrong with the list."""

    target: Path
    why: str
    files: tuple[Found, ...]
    lines: tuple[str, ...]


def rescue_archive(reader: ByteReader, target: Path, why: str, way: Way) -> Rescued:
    """Bring back all content that can be told apart. Raises DamagedError when there is none, RestoreError, StoppedError."""
    if os.path.lexists(target):
        raise RestoreError(f"{target} exists already; nothing was written")
    with workplace(target.parent, 0) as building:
        root = building / "root"
        try:
            root.mkdir(0o700)
            keeper = _Keeper(root)
            with closing(keeper):
                lines = _read(reader, keeper, way)
            if not keeper.found:
                raise DamagedError(f"{why}; nothing of any file is left in it, nothing was written")
            rescued = Rescued(target, why, tuple(keeper.found), lines)
            (root / REPORT).write_text("\n".join((*rescue_lines(rescued), "")), "utf-8")
            flush(root)
            root.rename(target)
            fsync_folder(target.parent)
        except OSError as error:
            raise not_written(target, error) from error
    return rescued


def rescue_lines(rescued: Rescued) -> list[str]:
    """The report."""
    head = [
        "What was found in an archive of 4D whose list of files is lost: content in its order, without names",
        f"known: {rescued.why}",
        *rescued.lines,
        "",
    ]
    return head + [found_words(one) for one in rescued.files]


def found_words(found: Found) -> str:
    """`file 0002: 900 bytes, whole`."""
    if found.size is None:
        return f"{found.name}: {found.bytes_there} bytes, the rest of a file"
    return f"{found.name}: {found.bytes_there} of {found.size} bytes"


def _read(reader: ByteReader, keeper: "_Keeper", way: Way) -> tuple[str, ...]:
    borders, troubles = Borders(keeper), Troubles()
    unpacker = Unpacker(way.workers, make=way.make)
    with closing(unpacker.run(BlockWalk(Window(reader)))) as found:
        for one in found:
            way.stop.check()
            way.report(Progress(way.phase, one.end, reader.size))
            if isinstance(one, Gap):
                troubles.of_gap(one, None)
                borders.miss(one.fewest * LARGEST if one.fewest == one.most else None)
                continue
            _pass_on(one, borders, keeper, troubles)
    borders.finish()
    return tuple(line for one in troubles.found for line in trouble_lines(one, []))


def _pass_on(block: Block, borders: Borders, keeper: "_Keeper", troubles: Troubles) -> None:
    if block.condition is not Condition.WHOLE:
        troubles.of_block(block, None)
    if not block.content:
        borders.miss(block.length)
        return
    keeper.is_doubted = block.condition is Condition.DOUBTFUL
    borders.take(block.content)


class _Keeper:
    """Writes what is found under names of our own: numbers, in the order of the archive."""

    def __init__(self, root: Path) -> None:
        self.found: list[Found] = []
        self.is_doubted = False
        self._root = root
        self._stream: BinaryIO | None = None
        self._size: int | None = None
        self._there = 0
        self._is_marked = False

    def start(self, size: int | None) -> None:
        self._size, self._there, self._is_marked = size, 0, self.is_doubted
        if len(self.found) < _MOST_FILES:
            self._stream = (self._root / "new").open("xb")
            os.fchmod(self._stream.fileno(), 0o640)

    def add(self, piece: Bytes) -> None:
        self._there += len(piece)
        self._is_marked = self._is_marked or self.is_doubted
        if self._stream is not None:
            self._stream.write(piece)

    def skip(self, count: int) -> None:
        self._is_marked = True
        if self._stream is not None:
            self._stream.seek(count, os.SEEK_CUR)

    def stop(self, *, is_complete: bool) -> None:
        if self._stream is None:
            return
        self._stream.truncate()
        self.close()
        number = len(self.found) + 1
        name = f"fragment {number:04}" if self._size is None else f"file {number:04}"
        if self._is_marked or not is_complete:
            name += ".incomplete"
        (self._root / "new").rename(self._root / name)
        self.found.append(Found(name, self._size, self._there))

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
