"""manifest.json: what a set holds, written once, read line by line.

It is plain JSON whose layout is fixed, one value, frame or member on each line, so that the head of ten
thousand sets is read quickly and a manifest with a million members in little memory. The layout is
described in docs/archive-format.md.
"""

import base64
import hashlib
import json
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO

from engine.errors import DamagedError, MissingSetError, NotPermittedError, RefusedError
from engine.files import open_regular
from engine.frametable import FrameTable
from engine.member import Member, member_from_json
from engine.output import StoredFile

MANIFEST = "manifest.json"
CHECKSUMS = "SHA256SUMS"
FORMAT = "backup4d-set"
VERSION = 2
# of a set in our own format: every release reads it
_OWN_VERSION = 1
# stream and compression of archives as 4D writes them
FOURD = "4bk"
_ANY = re.compile(b"")
# of the frame table, parsed together: ten thousand of them take a third of the time
_ROWS_AT_ONCE = 1000
_KINDS = {*product(("tar", "file"), ("zstd", "none")), (FOURD, FOURD)}
_LINE_LIMIT = 64 << 20
# what reading values of an unexpected form may raise
_NOT_AS_WRITTEN = (
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class SetFacts:
    """What a set is, without its members.

    Instants are aware, UTC. `content_bytes` counts the content of all files, `missing` what the settings
    list and was not there, `skipped` what could not be stored and `left_out` what never is (special files,
    the sets themselves), with the reason. `attachments` are the
    paths of the settings' list, `files` the (role, name) of every archive file. `checked`: the archives
    were read back from the disk and were equal to what had been read from the sources. `machine` is as
    engine.machine says it, empty in sets of older releases.
    """

    number: int
    base: str
    package: str
    data_file: str
    structure: str | None
    started: datetime
    ended: datetime
    scheduled: datetime | None
    complete: bool
    checked: bool
    content_bytes: int
    archive_bytes: int
    members: int
    missing: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    left_out: tuple[tuple[str, str], ...]
    attachments: tuple[str, ...]
    roots: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, str], ...]
    tool: str
    machine: str = ""


@dataclass(frozen=True, slots=True)
class ArchiveFacts:
    """One archive of a set: `role` is main or log, `stream` tar or file, `compression` zstd or none; or both are 4bk."""

    role: str
    stream: str
    compression: str
    files: tuple[StoredFile, ...]
    frames: FrameTable


@dataclass(frozen=True, slots=True)
class Manifest:
    """The head of a manifest; the members are read with `iterate_members`."""

    folder: Path
    facts: SetFacts
    settings: dict[str, Any]
    archives: tuple[ArchiveFacts, ...]


def write_manifest(
    target: BinaryIO,
    facts: SetFacts,
    settings: dict[str, Any],
    archives: tuple[ArchiveFacts, ...],
    spool: BinaryIO,
) -> None:
    """Write the whole manifest; `spool` holds the members, from its beginning. Raises OSError."""
    is_own = all(archive.stream != FOURD for archive in archives)
    lines = [
        ("format", FORMAT),
        ("version", _OWN_VERSION if is_own else VERSION),
        ("set", _facts_to_json(facts)),
        ("settings", settings),
        ("archives", [_archive_to_json(archive) for archive in archives]),
    ]
    text = ",\n".join(f'"{key}": {json.dumps(value)}' for key, value in lines)
    target.write(b"{\n" + text.encode("ascii") + b',\n"frames": [')
    separator = b"\n"
    for index, archive in enumerate(archives):
        for raw, stored, digest in archive.frames.rows():
            row = f'[{index},{raw},{stored},"{digest.hex()}"]'
            target.write(separator + row.encode("ascii"))
            separator = b",\n"
    target.write(b'\n],\n"members": [\n')
    while chunk := spool.read(1 << 20):
        target.write(chunk)
    target.write(b"\n]\n}\n")


def checksum_line(name: str, sha256: str) -> str:
    """A line of SHA256SUMS as `sha256sum` itself writes it, which escapes a name with a line end."""
    if "\n" not in name:
        return f"{sha256}  {name}\n"
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n")
    return f"\\{sha256}  {escaped}\n"


def parse_checksums(text: str) -> dict[str, str]:
    """SHA256SUMS as name to digest; a line that is none gives a name no file has."""
    sums: dict[str, str] = {}
    for line in text.split("\n"):
        digest, _, name = line.removeprefix("\\").partition("  ")
        if line.startswith("\\"):
            name = re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], name)
        sums[name] = digest
    return sums


def read_manifest(folder: Path) -> Manifest:
    """Read the head of a set's manifest with its frame tables.

    Raises MissingSetError, DamagedError, or RefusedError for a newer format.
    """
    with closing(_lines(folder)) as lines:
        values = _head(lines, folder)
        tables = [FrameTable() for _ in values["archives"]]
        _expect(next(lines, b""), b'"frames": [', folder)
        try:
            _read_frames(lines, tables)
            archives = tuple(
                _archive_from_json(row, table)
                for row, table in zip(values["archives"], tables, strict=True)
            )
            facts = _facts_from_json(values["set"])
        except _NOT_AS_WRITTEN as error:
            raise _damaged(folder, error) from error
    return Manifest(folder, facts, values["settings"], archives)


def read_set_facts(folder: Path) -> SetFacts:
    """Read only what a set is, quickly. Raises as `read_manifest`."""
    with closing(_lines(folder)) as lines:
        values = _head(lines, folder)
    try:
        return _facts_from_json(values["set"])
    except _NOT_AS_WRITTEN as error:
        raise _damaged(folder, error) from error


def iterate_members(folder: Path, like: re.Pattern[bytes] = _ANY) -> Iterator[Member]:
    """All members in the order of the archive, or those whose line is `like` this.

    Raises DamagedError at the first line that is not one.
    """
    with closing(_lines(folder)) as lines:
        for line in lines:
            if line == b'"members": [':
                break
        for line in lines:
            if line == b"]":
                if next(lines, b"") == b"}":
                    return
                break
            if line and like.search(line):
                try:
                    yield member_from_json(json.loads(line.rstrip(b",").decode()))
                except _NOT_AS_WRITTEN as error:
                    raise _damaged(folder, error) from error
    raise _damaged(folder, ValueError("it ends too early"))


def manifest_digest(folder: Path) -> str:
    """The SHA-256 of the manifest's bytes. Raises OSError, also when it is no plain file."""
    with open_regular(folder / MANIFEST, links=False) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _lines(folder: Path) -> Generator[bytes, None, None]:
    file = folder / MANIFEST
    try:
        stream = open_regular(file, links=False)
    except PermissionError as error:
        raise NotPermittedError(
            f"{file} may not be read by this user",
            hint="run it as the user of the service, or as root",
        ) from error
    except OSError as error:
        raise MissingSetError(
            f"{file} cannot be opened: {error.strerror}",
            hint="this folder is not a whole set of backup4d, or its disk has failed",
        ) from error
    try:
        with stream:
            while line := stream.readline(_LINE_LIMIT):
                yield line.rstrip(b"\n")
    except OSError as error:
        raise _damaged(folder, ValueError(error.strerror)) from error


def _head(lines: Iterator[bytes], folder: Path) -> dict[str, Any]:
    _expect(next(lines, b""), b"{", folder)
    values: dict[str, Any] = {}
    for key in ("format", "version", "set", "settings", "archives"):
        line = next(lines, b"")
        prefix = f'"{key}": '.encode("ascii")
        if not line.startswith(prefix):
            raise _damaged(folder, ValueError(f'"{key}" expected'))
        try:
            values[key] = json.loads(line.removeprefix(prefix).rstrip(b","))
        except (ValueError, RecursionError) as error:
            raise _damaged(folder, error) from error
        if key == "version":
            _check_format(values, folder)
    if not isinstance(values["archives"], list) or not isinstance(values["settings"], dict):
        raise _damaged(folder, ValueError("archives or settings have the wrong form"))
    return values


def _check_format(values: dict[str, Any], folder: Path) -> None:
    if values["format"] != FORMAT or not isinstance(values["version"], int):
        raise _damaged(folder, ValueError("it is not a manifest of backup4d"))
    if values["version"] > VERSION:
        raise RefusedError(
            f"{folder / MANIFEST} was written by a newer backup4d: it has format version"
            f" {values['version']}, this one reads up to {VERSION}",
            hint="install that backup4d or a newer one; tar and zstd can always unpack it",
        )


def _read_frames(lines: Iterator[bytes], tables: list[FrameTable]) -> None:
    rows: list[bytes] = []
    for line in lines:
        is_end = line == b"],"
        if not is_end:
            rows.append(line)
        if is_end or len(rows) == _ROWS_AT_ONCE:
            _take_frames(json.loads(b"[%b]" % b"".join(rows).rstrip(b",")), tables)
            rows.clear()
        if is_end:
            return
    raise ValueError("it ends too early")


def _take_frames(rows: list[tuple[int, int, int, str]], tables: list[FrameTable]) -> None:
    for index, raw, stored, digest in rows:
        if not 0 <= index < len(tables):
            raise ValueError("a frame of an unknown archive")
        tables[index].append(raw, stored, bytes.fromhex(digest))


def _expect(line: bytes, wanted: bytes, folder: Path) -> None:
    if line != wanted:
        raise _damaged(folder, ValueError(f"{wanted.decode()} expected"))


def _damaged(folder: Path, cause: Exception) -> DamagedError:
    return DamagedError(
        f"{folder / MANIFEST} is damaged: {cause}",
        hint="the archive beside it can still be checked with sha256sum and unpacked with zstd and tar",
    )


def _facts_to_json(facts: SetFacts) -> dict[str, Any]:
    return {
        "number": facts.number,
        "base": facts.base,
        "package": facts.package,
        "data_file": facts.data_file,
        "structure": facts.structure,
        "started": facts.started.isoformat(),
        "ended": facts.ended.isoformat(),
        "scheduled": None if facts.scheduled is None else facts.scheduled.isoformat(),
        "complete": facts.complete,
        "checked": facts.checked,
        "content_bytes": facts.content_bytes,
        "archive_bytes": facts.archive_bytes,
        "members": facts.members,
        "missing": list(facts.missing),
        "skipped": [list(entry) for entry in facts.skipped],
        "left_out": [list(entry) for entry in facts.left_out],
        "attachments": list(facts.attachments),
        "roots": [list(entry) for entry in facts.roots],
        "files": [list(entry) for entry in facts.files],
        "tool": facts.tool,
        "machine": facts.machine,
    }


def _facts_from_json(row: dict[str, Any]) -> SetFacts:
    return SetFacts(
        number=_whole_number(row["number"]),
        base=str(row["base"]),
        package=str(row["package"]),
        data_file=str(row["data_file"]),
        structure=None if row["structure"] is None else str(row["structure"]),
        started=_instant(row["started"]),
        ended=_instant(row["ended"]),
        scheduled=None if row["scheduled"] is None else _instant(row["scheduled"]),
        complete=row["complete"] is True,
        checked=row["checked"] is True,
        content_bytes=_whole_number(row["content_bytes"]),
        archive_bytes=_whole_number(row["archive_bytes"]),
        members=_whole_number(row["members"]),
        missing=tuple(str(name) for name in row["missing"]),
        skipped=tuple((str(name), str(why)) for name, why in row["skipped"]),
        left_out=tuple((str(name), str(why)) for name, why in row["left_out"]),
        attachments=tuple(str(path) for path in row["attachments"]),
        roots=tuple((str(source), str(path)) for source, path in row["roots"]),
        files=tuple((str(role), _plain_name(name)) for role, name in row["files"]),
        tool=str(row["tool"]),
        machine=str(row.get("machine", "")),
    )


def _archive_to_json(archive: ArchiveFacts) -> dict[str, Any]:
    row = {
        "role": archive.role,
        "stream": archive.stream,
        "compression": archive.compression,
        "stream_bytes": archive.frames.raw_bytes,
        "files": [
            {"name": file.name, "bytes": file.size, "sha256": file.sha256} for file in archive.files
        ],
    }
    if archive.frames.has_checks:
        row["checks"] = base64.b64encode(archive.frames.checks).decode("ascii")
    return row


def _archive_from_json(row: dict[str, Any], frames: FrameTable) -> ArchiveFacts:
    files = tuple(
        StoredFile(_plain_name(file["name"]), _whole_number(file["bytes"]), str(file["sha256"]))
        for file in row["files"]
    )
    if row["stream_bytes"] != frames.raw_bytes or not files:
        raise ValueError("the frame table does not fit its archive")
    if sum(file.size for file in files) != frames.stored_bytes:
        raise ValueError("the frame table does not fit the files of its archive")
    if (row["stream"], row["compression"]) not in _KINDS:
        raise ValueError("an archive of an unknown kind")
    if "checks" in row:
        frames.adopt_checks(base64.b64decode(row["checks"], validate=True))
    return ArchiveFacts(str(row["role"]), row["stream"], row["compression"], files, frames)


def _plain_name(name: object) -> str:
    """A name inside the set's folder; a hostile manifest must not lead elsewhere."""
    if not isinstance(name, str) or not name or name in (".", "..") or "/" in name or "\0" in name:
        raise ValueError(f"not a file name: {name!r}")
    return name


def _whole_number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"not a whole number: {value!r}")
    return value


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"an instant without a zone: {text}")
    return instant
