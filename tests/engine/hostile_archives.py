"""Archives and sets as nobody but an attacker makes them, each with all checksums right."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blake3 import blake3

from engine.codec import Compressor, digest_of
from engine.frametable import FrameTable
from engine.manifest import ArchiveFacts, checksum_line, write_manifest
from engine.member import Attributes, Kind, Member, Role, member_to_json
from engine.output import StoredFile
from engine.tarstream import END, member_header, padding
from settings.model import CompressionRate
from tests.engine.stories import facts_of

NAME = "data[0001].tar.zst"
PLAIN = Attributes(0o644, 0, 0, 1_700_000_000_000_000_000)


@dataclass(frozen=True, slots=True)
class Piece:
    """A member of a hostile archive: `raw_header` replaces what would be written, `row` what the manifest says."""

    path: bytes
    kind: Kind = Kind.FILE
    content: bytes = b""
    link: bytes = b""
    attributes: Attributes = PLAIN
    extents: tuple[tuple[int, int], ...] | None = None
    size: int | None = None
    raw_header: bytes | None = None
    row: Callable[[dict[str, Any]], None] | None = None

    @property
    def header(self) -> bytes:
        if self.raw_header is not None:
            return self.raw_header
        size = len(self.content) if self.size is None else self.size
        return member_header(
            self.path, self.kind, self.attributes, size=size, link=self.link, extents=self.extents
        )


@dataclass(frozen=True, slots=True)
class Hostile:
    """What an attacker hands over: pieces in a stream, or a change to the files of a good set."""

    pieces: Sequence[Piece] = ()
    tail: bytes = END
    spoil: Callable[[Path], None] | None = None
    document: Callable[[dict[str, Any]], None] | None = None


def write_hostile(folder: Path, hostile: Hostile) -> Path:
    """A set folder with archive, manifest and checksums, all of which agree as far as they can."""
    folder.mkdir()
    stream = bytearray()
    rows: list[dict[str, Any]] = []
    compressor = Compressor(CompressionRate.FAST)
    table, stored = FrameTable(), bytearray()

    def flush() -> None:
        if stream[table.raw_bytes :]:
            block = bytes(stream[table.raw_bytes :])
            packed = bytes(compressor.compress(memoryview(block)))
            table.append(len(block), len(packed), digest_of(block))
            stored.extend(packed)

    for piece in hostile.pieces:
        header = piece.header
        if len(stream) - table.raw_bytes + len(header) + len(piece.content) > 1 << 20:
            flush()
        at = len(stream)
        stream += header + piece.content + bytes(padding(len(piece.content)))
        rows.append(_row(piece, at, at + len(header)))
    stream += hostile.tail
    flush()
    (folder / NAME).write_bytes(stored)
    _write_manifest(folder, table, rows, hostile)
    if hostile.spoil is not None:
        hostile.spoil(folder)
    return folder


def _row(piece: Piece, at: int, data: int) -> dict[str, Any]:
    size = len(piece.content) if piece.size is None else piece.size
    digest = blake3(piece.content).hexdigest() if piece.kind is Kind.FILE else None
    member = Member(
        piece.path,
        piece.kind,
        Role.ATTACHMENT,
        size if piece.kind is Kind.FILE else 0,
        piece.attributes,
        at,
        data,
        digest,
        piece.link or None,
        piece.extents,
    )
    row = member_to_json(member)
    if piece.row is not None:
        piece.row(row)
    return row


def _write_manifest(
    folder: Path, table: FrameTable, rows: list[dict[str, Any]], hostile: Hostile
) -> None:
    digest = hashlib.sha256((folder / NAME).read_bytes()).hexdigest()
    file = StoredFile(NAME, table.stored_bytes, digest)
    archive = ArchiveFacts("main", "tar", "zstd", (file,), table)
    when = datetime(2026, 1, 1, tzinfo=UTC)
    facts = replace(
        facts_of(1),
        members=len(rows),
        started=when,
        ended=when,
        files=(("main", NAME),),
        content_bytes=sum(row["size"] for row in rows if row["size"] < 1 << 40),
        roots=(("/srv/app", "."),),
    )
    spool = folder / "spool"
    spool.write_text(",\n".join(json.dumps(row, separators=(",", ":")) for row in rows))
    with (folder / "manifest.json").open("wb") as target, spool.open("rb") as lines:
        write_manifest(target, facts, {}, (archive,), lines)
    spool.unlink()
    if hostile.document is not None:
        change_manifest(folder, hostile.document)
    renew_checksums(folder)


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Another manifest in the layout of lines."""
    document = json.loads((folder / "manifest.json").read_bytes())
    change(document)
    keys = ("format", "version", "set", "settings", "archives")
    head = ",\n".join(f'"{key}": {json.dumps(document[key])}' for key in keys)
    frames = ",\n".join(json.dumps(row, separators=(",", ":")) for row in document["frames"])
    members = ",\n".join(json.dumps(row, separators=(",", ":")) for row in document["members"])
    text = f'{{\n{head},\n"frames": [\n{frames}\n],\n"members": [\n{members}\n]\n}}\n'
    (folder / "manifest.json").write_text(text)


def renew_checksums(folder: Path) -> None:
    """SHA256SUMS of what is there now."""
    names = sorted(p.name for p in folder.iterdir() if p.name != "SHA256SUMS" and p.is_file())
    lines = [
        checksum_line(name, hashlib.sha256((folder / name).read_bytes()).hexdigest())
        for name in names
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


def with_checksum(block: bytearray) -> bytes:
    """A tar block whose checksum is right whatever was put into it."""
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def spoiled_header(piece: Piece, at: int, value: bytes) -> bytes:
    """The last block of a header with these bytes in it."""
    header = piece.header
    block = bytearray(header[-512:])
    block[at : at + len(value)] = value
    return header[:-512] + with_checksum(block)


def pax(records: bytes, then: bytes, *, kind: bytes = b"x", size: int | None = None) -> bytes:
    """An extended header with these records as they are, before a header."""
    block = bytearray(member_header(b"PaxHeaders/pax", Kind.FILE, PLAIN, size=size or len(records)))
    block[156:157] = kind
    return with_checksum(block) + records + bytes(padding(len(records))) + then


def record(key: bytes, value: bytes) -> bytes:
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length += 1
    return b"%d %s=%s\n" % (length, key, value)
