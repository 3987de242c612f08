"""A reader written from docs/archive-format.md alone: if the page or the program changes, it no longer restores."""

import base64
import hashlib
import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from tests.docs.pages import blocks, make_set, page

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PAGE = "archive-format.md"
FORMS = {
    "fast": ("Fast", 0),
    "plain-in-segments": ("None", 1),
    "compact-in-segments": ("Compact", 1),
}

# --- the reader, section by section of the page ---------------------------------------------------

Row = dict[str, Any]


def text_bytes(row: Row, key: str) -> bytes:
    """Section 2: a member's path or link."""
    if key in row:
        return bytes(row[key].encode("utf-8"))
    return base64.b64decode(row[f"{key}_base64"], validate=True)


class Archive:
    """One archive of a set: its files joined, read frame by frame."""

    def __init__(self, folder: Path, row: Row, frames: list[list[Any]]) -> None:
        names = [file["name"].encode("utf-8", "surrogateescape") for file in row["files"]]
        parts = [(folder / os.fsdecode(name)).read_bytes() for name in names]
        for file, part in zip(row["files"], parts, strict=True):
            assert (len(part), hashlib.sha256(part).hexdigest()) == (file["bytes"], file["sha256"])
        self._stored = b"".join(parts)
        self._packed = row["compression"] == "zstd"
        self._table: list[tuple[int, int, int, int, str]] = []
        start = offset = 0
        for _, raw, stored, digest in frames:
            self._table.append((start, raw, offset, stored, digest))
            start, offset = start + raw, offset + stored
        assert (start, offset) == (row["stream_bytes"], len(self._stored))

    def read(self, begin: int, count: int) -> bytes:
        """Bytes of the uncompressed stream, from the frames that hold them only."""
        found = b""
        for start, raw, offset, stored, digest in self._table:
            if start < begin + count and begin < start + raw:
                block = self._stored[offset : offset + stored]
                block = zstd.decompress(block) if self._packed else block
                assert (len(block), blake3(block).hexdigest()) == (raw, digest)
                found += block[max(begin - start, 0) : begin + count - start]
        assert len(found) == count
        return found


def read_set(folder: Path, target: Path) -> None:
    """Restore everything that a set holds."""
    document = json.loads((folder / "manifest.json").read_text("ascii"))
    assert document["format"] == "backup4d-set"
    assert document["version"] <= 1
    archives = {
        row["role"]: Archive(folder, row, [f for f in document["frames"] if f[0] == index])
        for index, row in enumerate(document["archives"])
    }
    assert len(document["members"]) == document["set"]["members"]
    for row in document["members"]:
        restore(row, archives["log" if row["role"] == "log" else "main"], target)
    for row in reversed(document["members"]):
        if row["type"] == "folder":
            finish(target / os.fsdecode(text_bytes(row, "path")), row)


def restore(row: Row, archive: Archive, target: Path) -> None:
    """One member; folders get their modes and times at the end."""
    place = target / os.fsdecode(text_bytes(row, "path"))
    match row["type"]:
        case "folder":
            place.mkdir(parents=True)
        case "symlink":
            place.symlink_to(os.fsdecode(text_bytes(row, "link")))
            os.utime(place, ns=(row["mtime_ns"],) * 2, follow_symlinks=False)
        case "hardlink":
            place.hardlink_to(target / os.fsdecode(text_bytes(row, "link")))
        case "file":
            place.write_bytes(content(row, archive))
            finish(place, row)
        case other:
            pytest.fail(f"the page knows no type {other}")


def content(row: Row, archive: Archive) -> bytes:
    """A file's content, its holes as zeros."""
    found = bytearray(row["size"])
    at = row["data"]
    for offset, length in row.get("extents", [[0, row["size"]]]):
        found[offset : offset + length] = archive.read(at, length)
        at += length
    assert blake3(found).hexdigest() == row["blake3"]
    return bytes(found)


def finish(place: Path, row: Row) -> None:
    """Mode and time."""
    place.chmod(int(row["mode"], 8))
    os.utime(place, ns=(row["mtime_ns"],) * 2)


# --- it restores ----------------------------------------------------------------------------------


def tree(root: Path) -> dict[str, tuple[Any, ...]]:
    """Everything below a folder that a set promises to hold."""
    return {str(place.relative_to(root)): facts(place) for place in everything(root)}


def everything(root: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(root):
        yield from (Path(here) / name for name in (*folders, *files))


def facts(place: Path) -> tuple[Any, ...]:
    found = place.lstat()
    common = (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns)
    if place.is_symlink():
        return (*common, str(place.readlink()))
    return (*common, place.read_bytes()) if place.is_file() else common


@pytest.fixture(params=FORMS, scope="module")
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    compression, segment = FORMS[request.param]
    return make_set(tmp_path_factory.mktemp("format"), compression=compression, segment=segment)


def test_a_reader_written_from_the_page_restores_every_member(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    package, folder = made

    read_set(folder, tmp_path)

    back, expected = tree(tmp_path), tree(package)
    letters = Path("External", *(package.parent / "letters").parts[1:])
    assert back[str(letters / "a.txt")] == facts(package.parent / "letters" / "a.txt")
    assert {path: row for path, row in back.items() if not path.startswith("External")} == {
        path: row for path, row in expected.items() if not path.startswith("Logs")
    }


def test_hard_links_come_back_as_one_file(made: tuple[Path, Path], tmp_path: Path) -> None:
    read_set(made[1], tmp_path)

    names = [tmp_path / "Resources" / name for name in ("same.json", "strings.json")]
    assert names[0].samefile(names[1])


def test_the_manifest_has_the_lines_of_the_page(made: tuple[Path, Path]) -> None:
    lines = (made[1] / "manifest.json").read_text("ascii").splitlines()

    document = json.loads("\n".join(lines))

    assert [line.split(":")[0] for line in lines[:7]] == [
        "{",
        *(f'"{key}"' for key in ("format", "version", "set", "settings", "archives", "frames")),
    ]
    frames, members = document["frames"], document["members"]
    at = 7 + len(frames)
    assert [json.loads(line.rstrip(",")) for line in lines[7:at]] == frames
    assert lines[at : at + 2] == ["],", '"members": [']
    assert [json.loads(line.rstrip(",")) for line in lines[at + 2 : -2]] == members
    assert lines[-2:] == ["]", "}"]


def test_the_page_names_every_key_of_the_manifest(made: tuple[Path, Path]) -> None:
    document = json.loads((made[1] / "manifest.json").read_text("ascii"))
    rows = [document["set"], *document["archives"], *document["members"]]
    files = [file for row in document["archives"] for file in row["files"]]

    keys = {key for row in (document, *rows, *files) for key in row}

    text = page(PAGE)
    assert {key for key in keys if f"`{key}`" not in text and f'"{key}"' not in text} == set()


# --- the page's own example -----------------------------------------------------------------------


def example_frames() -> list[list[Any]]:
    return [json.loads(line.rstrip(",")) for line in blocks(PAGE, "json")[0].splitlines()]


def test_the_numbers_of_the_example_follow_from_its_frames() -> None:
    member = json.loads(blocks(PAGE, "json")[1].splitlines()[0])
    command = next(block for block in blocks(PAGE) if block.startswith("tail -c +"))
    start = offset = 0
    for archive, raw, stored, _ in example_frames():
        if archive == 0 and start <= member["data"] < start + raw:
            break
        start, offset = start + raw, offset + stored
    else:
        pytest.fail("no frame holds the file")

    assert [int(number) for number in re.findall(r"-c \+?(\d+)", command)] == [
        offset + 1,
        stored,
        member["data"] - start + 1,
        member["size"],
    ]
