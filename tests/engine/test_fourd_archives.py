"""Archives of 4D: real ones are read to the last byte, written again byte for byte; what is not known is said."""

import hashlib
import io
import re
import struct
from pathlib import Path

import pytest

from engine.errors import EngineError, SourceError
from engine.fourd.archive import archive_number, read_list, verify_stored
from engine.fourd.blockstream import Packing
from engine.fourd.container import ARCHIVE_HEAD, HEAD_BYTES, NotKnownError
from engine.fourd.listing import MOST_FILES, BadListError, Entry, Listing, Origin
from engine.fourd.reading import ListLostError
from engine.fourd.writer import ArchiveWriter
from engine.logfile import ByteReader
from tests.engine.fourd_stories import (
    DATA,
    FILES,
    PLAIN,
    WAY,
    archive,
    blocks,
    content,
    read,
    stream,
    wrapped,
)
from tests.engine.logs import Bytes, members_of_archive
from tests.engine.stories import CORPUS

REAL = sorted((CORPUS / "archives").glob("*.4B?"))
real = pytest.mark.skipif(not REAL, reason="the corpus of real archives is not beside the project")


def told_by_the_corpus() -> dict[str, dict[str, tuple[int, str]]]:
    """For each archive: path, size and MD5 of each member, as its README lists them."""
    text = (CORPUS / "README.md").read_text().partition("## archives")[2].partition("## logs")[0]
    told: dict[str, dict[str, tuple[int, str]]] = {}
    for part in text.split("\n### ")[1:]:
        rows = re.findall(r"^ *(\d+) ([0-9a-f]{32}) (.+)$", part, re.MULTILINE)
        told[part.partition("\n")[0]] = {name: (int(size), md5) for size, md5, name in rows}
    return told


def written_again(data: bytes) -> bytes:
    _, taken = read(data)
    out = io.BytesIO()
    with ArchiveWriter(out, taken.entries, Packing(2)) as writer:
        for body in taken.files:
            writer.write(bytes(body))
        writer.finish()
    return out.getvalue()


@real
@pytest.mark.parametrize("file", REAL, ids=lambda file: file.name)
def test_real_archives_hold_what_an_independent_reader_finds(file: Path) -> None:
    outcome, taken = read(file.read_bytes())

    found = {
        entry.path: (len(body), hashlib.md5(body, usedforsecurity=False).hexdigest())
        for entry, body in zip(taken.entries, taken.files, strict=True)
    }
    assert found == told_by_the_corpus()[file.name]
    assert outcome.is_whole
    assert outcome.is_ordered
    assert outcome.notes == ()


@real
@pytest.mark.parametrize("file", REAL, ids=lambda file: file.name)
def test_real_archives_are_written_again_byte_for_byte(file: Path) -> None:
    data = file.read_bytes()

    assert written_again(data) == data


@real
def test_plain_python_reads_a_real_archive_in_the_same_way() -> None:
    data = REAL[1].read_bytes()

    assert read(data, PLAIN)[1].files == read(data)[1].files


def test_another_reader_reads_what_is_written() -> None:
    assert members_of_archive(archive()) == {
        text.partition("::")[0]: body for text, body in FILES.items()
    }


def test_what_is_written_is_read() -> None:
    outcome, taken = read(archive())

    assert taken.by_text == FILES
    assert taken.ended == list(range(len(FILES)))
    assert (outcome.is_whole, outcome.is_ordered, outcome.blocks) == (True, True, 7)


@pytest.mark.parametrize("size", [0, 1, 32768 - 90, 32768, 3 * 32768, 40 * 32768 + 5])
def test_any_size_is_read_as_it_was_written(size: int) -> None:
    files = {DATA: content(size), "./b::": b"b"}

    data = archive(files)

    assert read(data)[1].by_text == files
    assert written_again(data) == data


def test_blocks_are_full_but_for_the_last_and_stored_plain_when_packing_does_not_help() -> None:
    noise = hashlib.shake_128(b"x").digest(70_000)

    data = archive({DATA: noise})

    sizes = [struct.unpack_from("<II", data, at + 8) for at, _ in blocks(data)]
    assert [plain for _, plain in sizes][:-1] == [32768, 32768]
    assert sizes[1] == (32768, 32768)
    assert read(data)[1].by_text == {DATA: noise}


def test_a_thousand_empty_files_are_written_and_read() -> None:
    files = {f"./{number}::": b"" for number in range(3000)}

    assert read(archive(files))[1].by_text == files


def test_content_that_is_not_what_the_list_says_is_refused() -> None:
    with ArchiveWriter(io.BytesIO(), [Entry("./a::", 3)], Packing(1)) as writer:
        writer.write(b"ab")
        with pytest.raises(SourceError, match="1 bytes before"):
            writer.finish()
        writer.write(b"c")
        with pytest.raises(SourceError, match="more content"):
            writer.write(b"d")


# --- roles


@pytest.mark.parametrize(
    ("text", "path", "origin"),
    [
        (DATA, "Data/data.4DD", Origin.DATA),
        ("./A.4DB::StructFile", "A.4DB", Origin.STRUCTURE),
        ("./A.journal::", "A.journal", Origin.LOG),
        ("./A.4DIndx::C:\\Users\\a\\", "A.4DIndx", Origin.ATTACHMENT),
        ("./A.4DIndx::Macintosh HD:a::b:", "A.4DIndx", Origin.ATTACHMENT),
        ("./Settings/a.4DSettings::", "Settings/a.4DSettings", Origin.OTHER),
        ("nothing of that", "nothing of that", Origin.OTHER),
    ],
)
def test_what_4d_says_of_a_file(text: str, path: str, origin: Origin) -> None:
    entry = Entry(text, 0)

    assert (entry.path, entry.origin) == (path, origin)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("data[0007].4BK", (7, 0)),
        ("a[b][0006-0002].4BK", (6, 2)),
        ("data[10000].4BL", (10000, 0)),
        ("data.4BK", None),
        ("data[x].4BK", None),
        ("data[1-].4BK", None),
    ],
)
def test_the_number_is_in_the_name(name: str, number: tuple[int, int] | None) -> None:
    assert archive_number(Path("/a") / name) == number


# --- what is not known


def refused(data: bytes) -> EngineError:
    with pytest.raises(EngineError) as error:
        read(data)
    return error.value


def test_what_is_no_archive_is_not_called_damaged() -> None:
    for data in (b"70K", b"PK\3\4" + bytes(100), b"x" + bytes(1000)):
        assert isinstance(refused(data), NotKnownError)


def test_another_header_before_good_blocks_is_read_and_said() -> None:
    data = bytearray(archive())
    data[16] = 2

    outcome, taken = read(bytes(data))

    assert taken.by_text == FILES
    assert outcome.is_whole
    assert "segments" in outcome.notes[0]


def test_blocks_of_another_kind_are_not_known_and_not_damaged() -> None:
    data = bytearray(archive({DATA: b"a" * 500}))
    data[HEAD_BYTES + 4] = 2
    packed = HEAD_BYTES + 48
    # bytes that are no stream of ours, with the right MD5
    body = b"\5" + bytes(data[packed + 1 :])
    data[packed:] = body
    data[HEAD_BYTES + 32 : HEAD_BYTES + 48] = hashlib.md5(body, usedforsecurity=False).digest()

    error = refused(bytes(data))

    assert isinstance(error, NotKnownError)
    assert "compression kind 2 is not known to this program" in str(error)


def test_a_kind_that_changes_nothing_is_read_and_said() -> None:
    data = bytearray(archive())
    data[blocks(bytes(data))[1][0] + 4] = 3

    outcome, taken = read(bytes(data))

    assert taken.by_text == FILES
    assert outcome.is_whole
    assert "byte 4 is 3" in outcome.notes[0]


def opening(count: int, rest: bytes = b"", version: int = 4) -> bytes:
    return wrapped(b"KBPF" + struct.pack("<BQ", version, count) + b"TSIL" + rest)


def entry(name: str, size: int, fork: int = 0, units: int | None = None) -> bytes:
    text = name.encode("utf-16-le")
    count = -(len(text) // 2) if units is None else units
    return b"elif" + struct.pack("<i", count) + text + struct.pack("<3Q", size, fork, 0)


@pytest.mark.parametrize(
    "data",
    [opening(1, version=5), opening(1 << 63), opening(MOST_FILES + 1), opening(0)],
    ids=["version", "2^63 files", "too many files", "no file"],
)
def test_a_stream_that_begins_otherwise_is_not_known(data: bytes) -> None:
    assert isinstance(refused(data), NotKnownError)


def test_a_resource_fork_is_not_known() -> None:
    assert "resource fork" in str(refused(opening(1, entry("./a::", 1, fork=7))))


@pytest.mark.parametrize(
    "rest",
    [
        entry("./a::", 1, units=5),
        entry("./a::", 1, units=-(1 << 31)),
        entry("", 1),
        entry("./a::", (1 << 64) - 1),
        entry("./a::", 1 << 61) + entry("./b::", 1 << 61),
        b"ELIF" + bytes(40),
    ],
    ids=["positive", "giant name", "no name", "giant size", "giant sum", "tag"],
)
def test_a_list_that_makes_no_sense_is_refused(rest: bytes) -> None:
    assert isinstance(refused(opening(2, rest)), BadListError)


def test_a_list_that_never_ends_is_told() -> None:
    assert isinstance(refused(opening(9, entry("./a::", 1))), ListLostError)


# --- looking without unpacking


def listed(data: bytes) -> Listing:
    reader: ByteReader = Bytes(data)
    return read_list(reader, WAY)


def test_the_list_is_read_without_the_rest() -> None:
    data = archive()
    reader = Bytes(data + bytes(9 << 20))

    assert [one.text for one in read_list(reader, WAY).entries] == list(FILES)
    assert sum(reader.reads) < 5 << 20


def test_a_long_list_is_read_over_several_blocks() -> None:
    files = {f"./some/long/folder/name/{number:08}::": b"x" for number in range(2000)}

    assert [one.text for one in listed(archive(files)).entries] == list(files)


def test_stored_bytes_are_compared_without_unpacking() -> None:
    data = archive()
    at, stored = blocks(data)[3]

    assert verify_stored(Bytes(data), WAY).is_whole
    for place in (at, at + 8, at + 33, at + 48, at + 47 + stored):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        assert not verify_stored(Bytes(changed), WAY).is_whole


def test_a_missing_block_is_seen_by_the_lengths() -> None:
    data = archive()
    at, stored = blocks(data)[3]

    outcome = verify_stored(Bytes(data[:at] + data[at + 48 + stored :]), WAY)

    assert "its list says" in outcome.troubles[0].text


def test_the_head_is_as_in_every_real_archive() -> None:
    assert ARCHIVE_HEAD.hex() == "37304b4201000000000000000000000001000000"
    assert stream(archive())[:5] == b"KBPF\4"
