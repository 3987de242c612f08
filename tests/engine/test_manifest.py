"""The manifest tells the truth: digests, places and frames, checked without any of the program's readers."""

import base64
import hashlib
import json
import os
import shutil
import sys
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import DamagedError, MissingSetError, RefusedError
from engine.frametable import FrameTable
from engine.manifest import (
    ArchiveFacts,
    SetFacts,
    iterate_members,
    read_manifest,
    read_set_facts,
    write_manifest,
)
from engine.member import Attributes, Kind, Member, Role, member_from_json, member_to_json
from engine.memberspool import MemberSpool
from engine.output import StoredFile
from tests.engine.oddities import make_oddities
from tests.engine.stories import (
    COMPRESSION,
    SEGMENT,
    facts_of,
    judge,
    make_app,
    tar_stream,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# the digest of nothing, from the BLAKE3 paper's test vectors
EMPTY_DIGEST = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


class Told:
    """A set full of oddities, and its manifest as any JSON reader sees it."""

    def __init__(self, folder: Path, changes: dict[str, str]) -> None:
        self.app = make_app(folder)
        make_oddities(self.app.package / "Odd")
        self.app.configure(changes, attachments=("./Data/data.4DIndx", "./Odd"))
        self.set = self.app.backup_set()
        self.document = json.loads((self.set / "manifest.json").read_bytes())
        self.folder = folder

    def members(self, kind: str) -> list[dict[str, Any]]:
        rows = [row for row in self.document["members"] if row["type"] == kind]
        assert rows
        return rows

    def archive(self, role: str) -> tuple[int, dict[str, Any]]:
        """Index and description of one archive."""
        return next(
            (at, row) for at, row in enumerate(self.document["archives"]) if row["role"] == role
        )

    def stored(self, role: str) -> bytes:
        """The bytes of one archive, its files joined."""
        _, archive = self.archive(role)
        return b"".join((self.set / file["name"]).read_bytes() for file in archive["files"])

    def frames(self, role: str) -> list[tuple[int, int, str]]:
        """(raw, stored, digest) of each frame of one archive."""
        at, _ = self.archive(role)
        return [
            (raw, size, digest) for of, raw, size, digest in self.document["frames"] if of == at
        ]


FORMS = {"fast": {COMPRESSION: "Fast"}, "segments": {COMPRESSION: "None", SEGMENT: "1"}}


@pytest.fixture(scope="module", params=FORMS)
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Told:
    return Told(tmp_path_factory.mktemp("told"), FORMS[request.param])


def test_every_digest_is_the_blake3_of_the_source(told: Told) -> None:
    assert blake3(b"").hexdigest() == EMPTY_DIGEST
    for row in told.members("file"):
        source = os.fsencode(told.app.package) + b"/" + path_of(row)
        with open(source, "rb") as stream:  # noqa: PTH123 - a path in bytes
            content = stream.read()
        assert row["blake3"] == blake3(content).hexdigest()
        assert row["size"] == len(content)


def test_every_member_lies_where_the_manifest_says(told: Told) -> None:
    stream = tar_stream(told.set, told.folder / "whole.tar").read_bytes()

    for row in told.members("file"):
        if row["role"] == "log":
            continue
        content = bytearray(row["size"])
        at = row["data"]
        for offset, length in row.get("extents", [[0, row["size"]]]):
            content[offset : offset + length] = stream[at : at + length]
            at += length
        assert blake3(content).hexdigest() == row["blake3"]
        assert stream[row["header"] + 257 : row["header"] + 262] == b"ustar"


@pytest.mark.parametrize("role", ["main", "log"])
def test_every_frame_unpacks_by_itself(told: Told, role: str) -> None:
    stored, at, total = told.stored(role), 0, 0
    packed = told.archive(role)[1]["compression"] == "zstd"

    for raw, size, digest in told.frames(role):
        frame = stored[at : at + size]
        block = zstd.decompress(frame) if packed else frame
        assert len(block) == raw
        assert blake3(block).hexdigest() == digest
        at, total = at + size, total + raw

    assert at == len(stored)
    assert total == told.archive(role)[1]["stream_bytes"]


def test_the_zstd_tool_unpacks_a_single_frame(told: Told) -> None:
    if told.archive("main")[1]["compression"] != "zstd":
        return
    offset = 0
    for raw, size, digest in told.frames("main")[:6]:
        block = judge("zstd", "-dcq", data=told.stored("main")[offset : offset + size])
        assert (len(block), blake3(block).hexdigest()) == (raw, digest)
        offset += size


def test_the_files_are_described_as_they_are(told: Told) -> None:
    for archive in told.document["archives"]:
        for file in archive["files"]:
            content = (told.set / file["name"]).read_bytes()
            assert file["bytes"] == len(content)
            assert file["sha256"] == hashlib.sha256(content).hexdigest()


def test_modes_owners_and_times_are_those_of_the_source(told: Told) -> None:
    for row in told.document["members"]:
        facts = os.lstat(os.fsencode(told.app.package) + b"/" + path_of(row))
        assert int(row["mode"], 8) == facts.st_mode & 0o7777
        assert (row["uid"], row["gid"], row["mtime_ns"]) == (
            facts.st_uid,
            facts.st_gid,
            facts.st_mtime_ns,
        )


def test_the_settings_used_are_named_and_kept(told: Told) -> None:
    file = told.app.package / "Settings" / "backup.4DSettings"

    settings = told.document["settings"]

    assert settings["file"] == str(file)
    assert settings["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert settings["values"]["compression"] in {"Fast", "None"}


# --- a reader made from the JSON alone ------------------------------------------------------------


def foreign_reader(folder: Path, wanted: bytes, target: Path) -> None:
    """Bring one file back as a program in another language would: JSON, seek, read, zstd."""
    document = json.loads((folder / "manifest.json").read_text())
    assert (document["format"], document["version"]) == ("backup4d-set", 1)
    rows = {path_of(row): row for row in document["members"]}
    row = rows[wanted]
    if row["type"] == "hardlink":
        row = rows[path_of(row, "link")]
    role = "log" if row["role"] == "log" else "main"
    roles = [archive["role"] for archive in document["archives"]]
    with target.open("wb") as out:
        out.truncate(row["size"])
        at = row["data"]
        for offset, length in row.get("extents", [[0, row["size"]]]):
            out.seek(offset)
            out.write(stream_bytes(folder, document, roles.index(role), at, length))
            at += length


def stream_bytes(
    folder: Path, document: dict[str, Any], archive: int, at: int, length: int
) -> bytes:
    """A part of the stream, from the frames that hold it."""
    packed = document["archives"][archive]["compression"] == "zstd"
    files = [folder / file["name"] for file in document["archives"][archive]["files"]]
    parts, start, offset = [], 0, 0
    for of, raw, stored, _ in document["frames"]:
        if of != archive:
            continue
        if start < at + length and start + raw > at:
            block = stored_bytes(files, offset, stored)
            block = judge("zstd", "-dcq", data=block) if packed else block
            parts.append(block[max(at - start, 0) : at + length - start])
        start, offset = start + raw, offset + stored
    return b"".join(parts)


def stored_bytes(files: list[Path], offset: int, count: int) -> bytes:
    """A part of the archive, from the files that together are it."""
    parts = []
    for file in files:
        size = file.stat().st_size
        if 0 <= offset < size and count > 0:
            with file.open("rb") as stream:
                stream.seek(offset)
                parts.append(stream.read(count))
            count -= len(parts[-1])
            offset += len(parts[-1])
        offset -= size
    return b"".join(parts)


@pytest.mark.parametrize(
    "wanted",
    [
        b"Data/data.4DD",
        b"Data/data.journal",
        b"Odd/sizes/2097153 bytes",
        b"Odd/sizes/0 bytes",
        b"Odd/names/latin-1 caf\xe9",
        b"Odd/sparse/many extents",
        b"Odd/noise",
    ],
)
def test_another_program_brings_a_file_back_from_the_json_alone(
    told: Told, tmp_path: Path, wanted: bytes
) -> None:
    foreign_reader(told.set, wanted, tmp_path / "file")

    source = Path(os.fsdecode(os.fsencode(told.app.package) + b"/" + wanted))
    assert (tmp_path / "file").read_bytes() == source.read_bytes()


# --- what is not a manifest -----------------------------------------------------------------------


def manifest_of(folder: Path) -> list[str]:
    return (folder / "manifest.json").read_text().splitlines(keepends=True)


def small_set(tmp_path: Path) -> Path:
    return make_app(tmp_path).backup_set()


def test_a_newer_format_is_refused_with_the_way_out(tmp_path: Path) -> None:
    folder = small_set(tmp_path)
    text = (folder / "manifest.json").read_text().replace('"version": 1', '"version": 3')
    (folder / "manifest.json").write_text(text)

    with pytest.raises(
        RefusedError, match="newer backup4d: it has format version 3, this one reads up to 2"
    ) as caught:
        read_manifest(folder)

    assert "tar and zstd" in caught.value.hint


def test_a_missing_manifest_is_missing_not_damaged(tmp_path: Path) -> None:
    with pytest.raises(MissingSetError, match="cannot be opened"):
        read_set_facts(tmp_path)


def test_a_manifest_that_is_a_fifo_or_link_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manifest.json")

    with pytest.raises((MissingSetError, DamagedError)):
        read_set_facts(tmp_path)

    (tmp_path / "manifest.json").unlink()
    (tmp_path / "manifest.json").symlink_to("/etc/hostname")
    with pytest.raises(MissingSetError):
        read_set_facts(tmp_path)


@pytest.mark.parametrize("keep", range(0, 5000, 97))
def test_a_manifest_cut_short_is_damaged(tmp_path: Path, keep: int) -> None:
    folder = cut_set(tmp_path, keep)

    with pytest.raises(DamagedError, match="damaged"):
        consume(folder)


def cut_set(tmp_path: Path, keep: int) -> Path:
    folder = tmp_path / "set"
    folder.mkdir()
    whole = a_manifest()
    assert keep < len(whole)
    (folder / "manifest.json").write_bytes(whole[:keep])
    return folder


def consume(folder: Path) -> None:
    read_manifest(folder)
    for _ in iterate_members(folder):
        pass


def a_manifest(members: int = 30) -> bytes:
    """A manifest in memory."""
    table = FrameTable()
    table.append(1000, 400, bytes(32))
    spool = BytesIO()
    writer = MemberSpool(spool)
    for at in range(members):
        writer.add(member(b"Project/%d" % at))
    spool.seek(0)
    target = BytesIO()
    archive = ArchiveFacts("main", "tar", "zstd", (StoredFile("a.tar.zst", 400, "00" * 32),), table)
    write_manifest(target, facts_of(7), {"values": {}}, (archive,), spool)
    return target.getvalue()


def member(path: bytes, **changes: Any) -> Member:
    plain = Member(
        path, Kind.FILE, Role.DATA, 5, Attributes(0o644, 1, 2, 3), 0, 512, digest="ab" * 32
    )
    return replace(plain, **changes)


NAMES = st.binary(min_size=1, max_size=300).map(lambda raw: raw.replace(b"\0", b"_"))


@given(
    path=NAMES,
    link=st.none() | NAMES,
    size=st.integers(0, 2**63 - 1),
    mtime_ns=st.integers(-(2**63), 2**63),
    mode=st.integers(0, 0o7777),
    extents=st.none()
    | st.lists(st.tuples(st.integers(0, 2**50), st.integers(0, 2**50))).map(tuple),
    kind=st.sampled_from(Kind),
    role=st.sampled_from(Role),
)
def test_a_member_comes_back_from_json_as_it_went(path: bytes, **parts: Any) -> None:
    attributes = Attributes(parts.pop("mode"), 4_294_967_294, 0, parts.pop("mtime_ns"))
    before = member(path, attributes=attributes, **parts)

    text = json.dumps(member_to_json(before))

    assert member_from_json(json.loads(text)) == before


@given(
    facts=st.builds(
        facts_of,
        number=st.integers(1, 99_999),
        base=st.text(),
        scheduled=st.none() | st.just(datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
        complete=st.booleans(),
        missing=st.lists(st.text(), max_size=3).map(tuple),
        skipped=st.lists(st.tuples(st.text(), st.text()), max_size=3).map(tuple),
    )
)
def test_the_facts_of_a_set_come_back_as_they_went(
    facts: SetFacts, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("facts")
    with (folder / "manifest.json").open("wb") as stream:
        write_manifest(stream, facts, {}, (), BytesIO())

    assert read_set_facts(folder) == facts
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", -1),
        ("size", 1e300),
        ("size", float("inf")),
        ("size", "5"),
        ("size", True),
        ("header", -512),
        ("data", None),
        ("extents", [[0, -5]]),
        ("extents", [[0]]),
        ("extents", 7),
        ("mode", "-1"),
        ("mode", "77777777"),
        ("mode", 420),
        ("uid", -5),
        ("uid", 2**70),
        ("mtime_ns", 2**200),
        ("mtime_ns", 0.5),
        ("type", "socket"),
        ("role", ""),
        ("path", None),
        ("path", 7),
        ("link", "a\0b"),
        ("blake3", 5),
    ],
)
def test_a_row_that_is_no_member_is_refused(key: str, value: object) -> None:
    row = member_to_json(member(b"Data/data.4DD"))

    with pytest.raises((KeyError, TypeError, ValueError)):
        member_from_json({**row, key: value})


def test_reading_the_head_of_a_large_manifest_does_not_read_its_members(tmp_path: Path) -> None:
    whole = a_manifest(2000)
    head = whole[: whole.index(b'"archives"')] + b'"archives": []\n'
    (tmp_path / "manifest.json").write_bytes(head + b"no members at all")

    assert read_set_facts(tmp_path).number == 7


def path_of(row: dict[str, Any], key: str = "path") -> bytes:
    if key in row:
        return str(row[key]).encode()
    return base64.b64decode(row[f"{key}_base64"])
