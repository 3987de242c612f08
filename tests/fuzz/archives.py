"""Targets: archives, and the logs, data files and recovery data beside them."""

import hashlib
import json
import os
import shutil
import struct
from contextlib import suppress
from datetime import UTC
from functools import cache
from pathlib import Path

from engine.barearchive import bare_source
from engine.codec import Compressor
from engine.datafile import DataUnreadableError, read_data_facts
from engine.datalook import examine
from engine.errors import DamagedError, EngineError
from engine.framescan import scan_frames
from engine.logactivity import read_activity
from engine.logcheck import check_log
from engine.logfile import LogUnreadableError, read_log_facts
from engine.loglist import Listing
from engine.logtables import Tables
from engine.par2files import is_plain, read_recoveries
from engine.progress import silent
from engine.restore import restore_source
from engine.salvage import salvage_set
from engine.stop import StopRequest
from scheduler.log_words import (
    JsonWriter,
    LineWriter,
    activity_json,
    activity_lines,
    check_json,
    check_lines,
)
from settings.model import CompressionRate
from tests.engine.logs import (
    BACKUP,
    CLOSE,
    DATALINK,
    OPEN,
    Bytes,
    changes,
    data_file,
    link_block,
    log,
    record,
)
from tests.engine.real_shapes import morning
from tests.engine.stories import COMPRESSION, CORPUS, judge, make_app
from tests.fuzz.target import Target, scratch

_NAME = "data[0001].tar"
_BLOCK, _USTAR_AT, _SUM = 512, 257, slice(148, 156)
_SEED_FRAME = 4096
_PACKET = struct.Struct("<8sQ16s")
_MAGIC = b"PAR2\0PKT"


# --- archives -------------------------------------------------------------------------------------


def unpack_bare(data: bytes) -> None:
    """An archive file as it is: refused or restored, and salvaged; nothing outside the target."""
    scan(data)
    _unpack(data, f"{_NAME}.zst")


def unpack_stream(data: bytes) -> None:
    """A tar stream in frames that are right: only what it says is hostile."""
    stream = _with_right_sums(data)
    compressor = Compressor(CompressionRate.FAST)
    packed = b"".join(
        bytes(compressor.compress(memoryview(stream[at : at + _SEED_FRAME])))
        for at in range(0, len(stream), _SEED_FRAME)
    )
    _unpack(packed, f"{_NAME}.zst")


def unpack_plain(data: bytes) -> None:
    """A tar stream as it is, not packed."""
    _unpack(_with_right_sums(data), _NAME)


def scan(data: bytes) -> None:
    """The frames and what lies between them are the whole archive, each byte once."""
    at = 0
    for frame in scan_frames(lambda offset, count: data[offset : offset + count], len(data)):
        assert frame.offset == at
        assert frame.stored > 0
        at = frame.end
    assert at == len(data)


def _unpack(data: bytes, name: str) -> None:
    room = scratch("archive")
    for entry in room.iterdir():
        shutil.rmtree(entry)
    folder = room / "data[0001]"
    folder.mkdir()
    (folder / name).write_bytes(data)
    target, salvaged = room / "target", room / "salvaged"
    try:
        with bare_source(
            folder, None, folder, workers=1, stop=StopRequest(), report=silent
        ) as source:
            restore_source(source, target, workers=1, stop=StopRequest(), report=silent)
    except EngineError:
        assert not target.exists()
    try:
        salvage_set(folder, salvaged, workers=1, stop=StopRequest(), report=silent)
    except EngineError:
        assert not salvaged.exists()
    left = sorted(entry.name for entry in room.iterdir())
    assert set(left) <= {"data[0001]", "target", "salvaged"}, left
    assert [entry.name for entry in folder.iterdir()] == [name]
    assert (folder / name).read_bytes() == data


def _with_right_sums(stream: bytes) -> bytes:
    """Each block that looks like a header has the checksum it must have, so that it is not refused for that."""
    changed = bytearray(stream)
    for at in range(0, len(changed) - _BLOCK + 1, _BLOCK):
        block = changed[at : at + _BLOCK]
        if block[_USTAR_AT : _USTAR_AT + 5] == b"ustar":
            block[_SUM] = b" " * 8
            block[_SUM] = b"%06o\0 " % sum(block)
            changed[at : at + _BLOCK] = block
    return bytes(changed)


@cache
def _archive(rate: str) -> bytes:
    app = make_app(scratch(f"seed-{rate}"), {COMPRESSION: rate})
    project = app.package / "Project"
    with (project / "holes").open("wb") as stream:
        stream.truncate(300_000)
        stream.seek(100_000)
        stream.write(b"data")
    (project / os.fsdecode(b"caf\xe9 " + b"n" * 150)).write_bytes(b"x")
    (project / "link").symlink_to("x" * 120)
    os.link(project / "holes", project / "twin")
    (archive,) = app.backup_set().glob("*.tar*")
    return archive.read_bytes()


def _packed() -> list[bytes]:
    return [_archive("Fast")]


def _streams() -> list[bytes]:
    return [_archive("None")]


# --- logs and data files --------------------------------------------------------------------------


def read_log(data: bytes) -> None:
    """A log is whole up to somewhere inside of it, or it is none that can be read."""
    for every in (False, True):
        try:
            facts = read_log_facts(Bytes(data), every_record=every)
        except LogUnreadableError:
            continue
        assert 0 <= facts.whole_bytes <= len(data)
        assert (facts.first is None) == (facts.last is None)
        _go_through(data)


def _go_through(data: bytes) -> None:
    """What is listed, summed up and checked is told in words and in JSON, and is the same log."""
    listing = Listing(Bytes(data))
    lines = list(LineWriter(Tables(), UTC).lines(listing))
    rows = json.loads("\n".join(JsonWriter(Tables()).lines(Listing(Bytes(data)))))
    assert len(lines) - 1 == len(rows) == listing.read
    activity = read_activity(Bytes(data))
    assert activity.records == listing.read
    assert activity.facts.whole_bytes == listing.end
    assert activity_lines(activity, Tables(), UTC, every=True)
    json.dumps(activity_json(activity, Tables()))
    check = check_log(Bytes(data))
    assert check.readable >= listing.read
    assert check.good_bytes == listing.end
    assert check.torn <= len(data) - check.good_bytes
    assert check_lines(check, "x", UTC)
    json.dumps(check_json(check))


def _logs() -> list[bytes]:
    records = (record(5, OPEN), *changes(6, 9), record(9, BACKUP), record(10, CLOSE))
    made = [log(*records), log(*records, tag=b"GOL4"), log(), morning().content()]
    real = sorted((CORPUS / "logs").glob("*.journal"), key=lambda file: file.stat().st_size)
    return made + [file.read_bytes() for file in real[:10]]


def read_data(data: bytes) -> None:
    """The header of a data file tells something, or is not known."""
    with suppress(DataUnreadableError):
        read_data_facts(Bytes(data))
    for places in (None, (), (0, 4096, 1 << 40)):
        try:
            examine(Bytes(data), places)
        except DamagedError:
            continue


def _data_files() -> list[bytes]:
    return [data_file(7, [link_block(DATALINK)], size=20_000), data_file(0, size=5000)]


# --- recovery data --------------------------------------------------------------------------------


def read_parity(data: bytes) -> None:
    """Only names of files right in the folder come out of recovery data."""
    folder = scratch("parity")
    (folder / "set.par2").write_bytes(_with_right_md5(data))
    recoveries, notes = read_recoveries(folder, StopRequest())
    assert all(notes)
    for recovery in recoveries:
        assert all(is_plain(one.name) for one in recovery.protected)


def _with_right_md5(data: bytes) -> bytes:
    """Each packet has the digest it must have."""
    changed = bytearray(data)
    at = changed.find(_MAGIC)
    while at >= 0 and at + 64 <= len(changed):
        length = _PACKET.unpack_from(changed, at)[1]
        if 64 <= length <= len(changed) - at:
            digest = hashlib.md5(changed[at + 32 : at + length], usedforsecurity=False)
            changed[at + 16 : at + 32] = digest.digest()
        at = changed.find(_MAGIC, at + 8)
    return bytes(changed)


def _parities() -> list[bytes]:
    if shutil.which("par2") is None:
        return [_by_hand(b"data[0001].tar.zst")]
    folder = scratch("parity-seed")
    (folder / "data").write_bytes(b"x" * 3000)
    if not (folder / "p.par2").exists():
        judge("par2", "create", "-q", "-q", "-s400", "-r20", "p.par2", "data", cwd=folder)
    return [_by_hand(b"data"), *(Path(file).read_bytes() for file in sorted(folder.glob("*.par2")))]


def _by_hand(name: bytes) -> bytes:
    body = bytes(16) + b"PAR 2.0\0FileDesc" + bytes(48) + struct.pack("<Q", 3000) + name
    body += bytes(-len(body) % 4)
    return _with_right_md5(_MAGIC + struct.pack("<Q", 32 + len(body)) + bytes(16) + body)


TARGETS = (
    Target("archive", unpack_bare, _packed, (b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18")),
    Target(
        "stream", unpack_stream, _streams, (b"ustar\x0000", b"30 mtime=1.5\n", b"13 size=9999\n")
    ),
    Target("stream-not-packed", unpack_plain, _streams, (b"ustar\x0000", b"12 path=../x\n")),
    Target("log", read_log, _logs, (b"d4bd", b"D4BD", b"GOl4")),
    Target("data-file", read_data, _data_files, (b"GABV", b"atad")),
    Target("par2", read_parity, _parities, (_MAGIC, b"PAR 2.0\0FileDesc")),
)
