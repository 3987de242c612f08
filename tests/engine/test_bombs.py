"""A small archive that claims to be a huge one takes neither the memory, nor the disk, nor the day."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.codec import Compressor, digest_of
from engine.frametable import FrameTable
from engine.manifest import ArchiveFacts, write_manifest
from engine.member import Attributes, Kind
from engine.output import StoredFile
from engine.tarstream import END, member_header
from settings.model import CompressionRate
from tests.engine.hostile_archives import NAME, change_manifest, pax, record, renew_checksums
from tests.engine.stories import facts_of
from tests.engine.test_hostile import WAYS

_MIB = 1 << 20
_PLAIN = Attributes(0o644, 0, 0, 0)
_ROOT = Path(__file__).parents[2]


def write_frames(folder: Path, frames: list[tuple[bytes, int]]) -> Path:
    """A set of these blocks, each so many times, that has no members in its manifest."""
    folder.mkdir()
    compressor = Compressor(CompressionRate.FAST)
    table = FrameTable()
    with (folder / NAME).open("wb") as target:
        for block, count in frames:
            packed = bytes(compressor.compress(memoryview(block)))
            target.write(packed * count)
            digest = digest_of(block)
            for _ in range(count):
                table.append(len(block), len(packed), digest)
    sha256 = hashlib.sha256((folder / NAME).read_bytes()).hexdigest()
    file = StoredFile(NAME, table.stored_bytes, sha256)
    archive = ArchiveFacts("main", "tar", "zstd", (file,), table)
    spool = folder / "spool"
    spool.write_bytes(b"")
    with (folder / "manifest.json").open("wb") as target, spool.open("rb") as lines:
        write_manifest(target, facts_of(1, files=(("main", NAME),)), {}, (archive,), lines)
    spool.unlink()
    renew_checksums(folder)
    return folder


def a_tebibyte(folder: Path) -> None:
    size = 1 << 40
    block = bytes(32 * _MIB)
    header = member_header(b"big", Kind.FILE, _PLAIN, size=size)
    write_frames(folder, [(header, 1), (block, size // len(block)), (END, 1)])


def the_largest_frames(folder: Path) -> None:
    block = bytes(32 * _MIB)
    header = member_header(b"big", Kind.FILE, _PLAIN, size=20 * len(block))
    write_frames(folder, [(header, 1), (block, 20), (END, 1)])


def millions_of_frames(folder: Path) -> None:
    write_frames(folder, [(b"\0", 1_000_000)])


def broken_extended_headers(folder: Path) -> None:
    """Each claims a MiB that is none, and the next one lies in it."""
    header = pax(b"", b"", size=_MIB)
    write_frames(folder, [(header * 2048, 200), (END, 1)])


def a_million_members(folder: Path) -> None:
    block = b"".join(member_header(b"f%d" % at, Kind.FILE, _PLAIN) for at in range(2048))
    write_frames(folder, [(block, 100), (END, 1)])


def a_map_of_a_million_pieces(folder: Path) -> None:
    records = record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0")
    records += record(b"GNU.sparse.name", b"s") + record(b"GNU.sparse.realsize", b"1000000000")
    sparse_map = b"1048576\n" + b"0\n0\n" * 1_048_576
    sparse_map += bytes(-len(sparse_map) % 512)
    inner = member_header(b"GNUSparseFile.0/s", Kind.FILE, _PLAIN, size=len(sparse_map))
    write_frames(folder, [(pax(records, inner) + sparse_map, 1), (END, 1)])


def a_manifest_of_one_line(folder: Path) -> None:
    write_frames(folder, [(END, 1)])

    def fill(document: dict[str, Any]) -> None:
        document["settings"] = {"x": "y" * (40 * _MIB)}

    change_manifest(folder, fill)
    renew_checksums(folder)


def a_deep_manifest(folder: Path) -> None:
    write_frames(folder, [(END, 1)])
    text = (folder / "manifest.json").read_text()
    deep = "[" * 2_000_000 + "]" * 2_000_000
    text = text.replace('"settings": {}', f'"settings": {deep}')
    (folder / "manifest.json").write_text(text)
    renew_checksums(folder)


BOMBS: dict[str, Callable[[Path], None]] = {
    "a tebibyte": a_tebibyte,
    "the largest frames": the_largest_frames,
    "millions of frames": millions_of_frames,
    "broken extended headers": broken_extended_headers,
    "many members": a_million_members,
    "a map of a million pieces": a_map_of_a_million_pieces,
    "a manifest of one line": a_manifest_of_one_line,
    "a deep manifest": a_deep_manifest,
}
FAST = ("a tebibyte", "the largest frames", "a deep manifest")


def tried(tmp_path: Path, bomb: str, way: str) -> tuple[float, int, str]:
    folder = tmp_path / f"{way} set"
    BOMBS[bomb](folder)
    target = tmp_path / f"{way} target"
    command = [sys.executable, "-m", "tests.engine.hostile_child", way, str(folder), str(target)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr[-3000:]
    seconds, peak, outcome = done.stdout.decode().split(" ", 2)
    print(f"\n{bomb}, {way}: {seconds} s, {peak} MiB, {outcome.strip()[:150]}")
    return float(seconds), int(peak), outcome


@pytest.mark.parametrize("bomb", FAST)
def test_a_bomb_takes_neither_memory_nor_disk(tmp_path: Path, bomb: str) -> None:
    _, peak, outcome = tried(tmp_path, bomb, "bare salvage")

    assert peak < 300
    assert bomb != "a tebibyte" or "more than is free" in outcome


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("bomb", BOMBS)
def test_no_bomb_takes_memory_or_time_whichever_way_it_is_restored(
    tmp_path: Path, bomb: str
) -> None:
    for way in WAYS:
        seconds, peak, _ = tried(tmp_path, bomb, way)

        assert peak < 300
        assert seconds < 100
