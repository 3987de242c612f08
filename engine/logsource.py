"""A log wherever it lies: a file that 4D writes to, one in a set of ours, one in an archive of 4D. Read only.

What 4D appends while it is read is left out: its length is that at the opening.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from engine.errors import EngineError, MissingSetError
from engine.files import open_regular
from engine.logarchive import TAG, unpack_log
from engine.logfile import ByteReader, DescriptorReader, LogUnreadableError, read_header
from engine.logtables import CATALOG, Tables, catalog_above, load_tables, read_tables
from engine.manifest import MANIFEST, ArchiveFacts, iterate_members
from engine.member import Kind
from engine.setlog import log_archive, opened_file, opened_log

_ZSTD = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = b"\x50\x2a\x4d\x18"
_DATA_ENDING = ".4dd"
_NOT_DATA = "name the log, the .journal beside the data file; `backup4d log check LOG --data FILE` compares the two"
_UNPACK = "bring manifest.json beside it, or unpack it: zstd -d gives the log itself"


@dataclass(frozen=True, slots=True)
class OpenLog:
    """A log that can be read; `set_folder` is the set it lies in, None for one that lies in none."""

    reader: ByteReader
    path: Path
    set_folder: Path | None = None


@contextmanager
def open_log(path: Path) -> Iterator[OpenLog]:
    """The log of a set (its folder, or the archive of its log), or a log file.

    Raises MissingSetError, DamagedError, RefusedError, LogUnreadableError, OSError.
    """
    folder = path if path.is_dir() else path.parent
    facts = _log_in_set(folder, None if path.is_dir() else path.name)
    if facts is not None:
        with opened_log(folder, facts) as reader:
            yield _opened(reader, path, folder)
        return
    if path.is_dir():
        raise MissingSetError(f"{path} is no set that holds a log")
    with open_regular(path) as stream:
        reader = DescriptorReader(stream.fileno())
        _refuse_packed(reader, path)
        if reader.read(0, len(TAG)) != TAG:
            yield _opened(reader, path)
            return
        with TemporaryFile() as unpacked:
            _unpack_named(reader, unpacked, path)
            yield _opened(DescriptorReader(unpacked.fileno()), path)


def _unpack_named(reader: ByteReader, unpacked: BinaryIO, path: Path) -> None:
    try:
        unpack_log(reader, unpacked)
    except EngineError as error:
        error.args = (f"{path}: {error}",)
        raise


def _opened(reader: ByteReader, path: Path, set_folder: Path | None = None) -> OpenLog:
    try:
        read_header(reader)
    except LogUnreadableError as error:
        is_data = path.suffix.lower() == _DATA_ENDING
        raise LogUnreadableError(f"{path}: {error}", hint=_NOT_DATA if is_data else "") from error
    return OpenLog(reader, path, set_folder)


def tables_for(log: OpenLog, structure: Path | None) -> Tables:
    """The tables that a log speaks of: of the structure named, else of its set or its application.

    Without one there are no names. Raises CatalogError, EngineError, OSError.
    """
    if structure is not None:
        named = structure / CATALOG if structure.is_dir() else structure
        return load_tables(named)
    if log.set_folder is not None:
        return _tables_in_set(log.set_folder)
    catalog = catalog_above(log.path)
    return Tables() if catalog is None else load_tables(catalog)


def _log_in_set(folder: Path, name: str | None) -> ArchiveFacts | None:
    """The archive of a set's log; of a file beside a manifest only when it is that archive's."""
    if not (folder / MANIFEST).is_file():
        return None
    facts = log_archive(folder)
    if facts is None or (name is not None and name not in {file.name for file in facts.files}):
        return None
    return facts


def _refuse_packed(reader: ByteReader, path: Path) -> None:
    head = reader.read(0, len(_ZSTD))
    if head == _ZSTD or head[1:] == _SKIPPABLE[1:]:
        raise LogUnreadableError(
            f"{path} cannot be read alone: it is the archive of a set's log", hint=_UNPACK
        )


def _tables_in_set(folder: Path) -> Tables:
    wanted = CATALOG.encode()
    members = (one for one in iterate_members(folder) if one.kind is Kind.FILE)
    member = next((one for one in members if one.path == wanted), None)
    if member is None:
        return Tables()
    try:
        with opened_file(folder, member) as reader:
            return Tables() if reader is None else read_tables(reader, f"{folder.name}: {CATALOG}")
    except EngineError:  # names are a help; a damaged main archive is the matter of `verify`
        return Tables()
