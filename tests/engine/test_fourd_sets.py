"""Sets whose archives are those of 4D: genuine ones, and restored as exactly as our own."""

import hashlib
import json
import os
import random
import shutil
import struct
from pathlib import Path

import pytest
from blake3 import blake3

from engine.errors import DamagedError, EngineError
from engine.fourd.archive import archive_opened
from engine.fourd.codec import PlainCodec
from engine.fourd.reading import Reading
from engine.manifest import iterate_members, read_manifest
from engine.member import Kind
from engine.progress import silent
from engine.salvage import salvage_set
from engine.stop import StopRequest
from settings.service_model import ArchiveFormat
from tests.engine.fourd_stories import WAY, Collected
from tests.engine.oddities import make_oddities
from tests.engine.stories import (
    COMPRESSION,
    INDEX,
    KEEP,
    KEEP_ENABLED,
    SEGMENT,
    App,
    make_app,
    pass_a_day,
    patterned,
    restored,
    tree,
    verified,
)
from tests.engine.test_restore_alone import run

FOURD = ArchiveFormat.FOURD
DATA = patterned(1_300_000)


@pytest.fixture
def app(tmp_path: Path) -> App:
    return make_app(tmp_path, data=DATA, attachments=(INDEX, "./Letters/"))


def set_of(app: App) -> Path:
    (app.package / "Letters").mkdir(exist_ok=True)
    return app.backup_set(archives=FOURD)


# --- an independent reader: the layout page, struct and hashlib, and the decoder for what is packed -------------


def plain_stream(file: Path) -> bytes:
    """All that an archive holds, by the layout of ../shared/spec alone; every MD5 is compared."""
    data = file.read_bytes()
    assert data[:20] == struct.pack("<4s4I", b"70KB", 1, 0, 0, 1)
    at, plain = 20, []
    while at < len(data):
        tag, kind, stored, size, of_plain, of_stored = struct.unpack_from("<4sIII16s16s", data, at)
        body = data[at + 48 : at + 48 + stored]
        assert (tag, kind, len(body)) == (b"pmoC", 1, stored)
        at += 48 + stored
        assert size == 32768 or at == len(data)
        assert hashlib.md5(body, usedforsecurity=False).digest() == of_stored
        content = body if stored == size else PlainCodec().decode([body])[0]
        assert content is not None
        assert hashlib.md5(content, usedforsecurity=False).digest() == of_plain
        plain.append(content)
    return b"".join(plain)


def files_in(file: Path) -> dict[str, bytes]:
    """Entry to content, by the same page."""
    stream = plain_stream(file)
    start, version, count, tag = struct.unpack_from("<4sBQ4s", stream)
    assert (start, version, tag) == (b"KBPF", 4, b"TSIL")
    at, entries = 17, []
    for _ in range(count):
        tag, units = struct.unpack_from("<4si", stream, at)
        assert tag == b"elif"
        text = stream[at + 8 : at + 8 - 2 * units].decode("utf-16-le")
        size, fork, other = struct.unpack_from("<3Q", stream, at + 8 - 2 * units)
        assert (fork, other) == (0, 0)
        at += 32 - 2 * units
        entries.append((text, size))
    found = {}
    for text, size in entries:
        assert struct.unpack_from("<4sQ", stream, at) == (b"tadF", size)
        found[text] = stream[at + 12 : at + 12 + size]
        assert struct.unpack_from("<4sQ", stream, at + 12 + size) == (b"zerF", 0)
        at += 24 + size
    assert at == len(stream)
    assert len(found) == count
    return found


def test_the_archives_of_a_set_are_what_4d_writes_named_as_it_names_them(app: App) -> None:
    folder = set_of(app)
    assert sorted(p.name for p in folder.iterdir()) == [
        "SHA256SUMS",
        "data[0000].4BL",
        "data[0001].4BK",
        "manifest.json",
    ]
    main = files_in(folder / "data[0001].4BK")
    assert main == {
        "./Data/data.4DD::DataFile": DATA,
        "./Data/data.4DIndx::": patterned(700),
        "./Data/Settings/directory.json::": b"[]",
        "./Project/App.4DProject::": b"{}",
        "./Project/Sources/Methods/hello.4dm::": b"ALERT(1)\n",
        "./Settings/backup.4DSettings::": (app.package / "Settings/backup.4DSettings").read_bytes(),
        "./Settings/settings.4DSettings::": b"<preferences/>",
    }
    assert files_in(folder / "data[0000].4BL") == {"./data.journal::": patterned(900)}


@pytest.mark.parametrize("rate", ["None", "Fast"])
def test_they_are_packed_as_the_settings_say_and_read_whole_by_our_reader(
    app: App, rate: str
) -> None:
    app.configure({COMPRESSION: rate})
    file = set_of(app) / "data[0001].4BK"
    is_packed = file.stat().st_size < len(DATA)
    assert is_packed is (rate == "Fast")
    taken = Collected()
    with archive_opened(file) as reader:
        outcome = Reading(reader, taken, WAY).run()
    assert outcome.is_whole
    assert not outcome.notes
    assert taken.by_text == files_in(file)


def test_what_comes_back_is_what_was_there_with_times_modes_links_holes_and_empty_folders(
    app: App, tmp_path: Path
) -> None:
    app.configure(attachments=(INDEX, "./Odd/"))
    make_oddities(app.package / "Odd")
    folder = app.backup_set(archives=FOURD)
    assert verified(folder).good
    restored(folder, tmp_path / "back")
    before, after = tree(app.package), tree(tmp_path / "back")
    assert after == {path: facts for path, facts in before.items() if not path.startswith(b"Logs")}
    for file in (app.package / "Odd" / "sparse").iterdir():
        if file.stat().st_size >= 1 << 20:
            blocks = (tmp_path / "back" / "Odd" / "sparse" / file.name).stat().st_blocks
            assert blocks * 512 < file.stat().st_size, file.name


def test_what_4d_cannot_name_is_in_its_archive_under_another_name_and_links_are_told(
    app: App, tmp_path: Path
) -> None:
    letters = app.package / "Letters"
    letters.mkdir()
    (letters / "a:b.txt").write_bytes(b"colon")
    (letters / "link").symlink_to("a:b.txt")
    os.link(letters / "a:b.txt", letters / "second.txt")
    folder = set_of(app)
    found = files_in(folder / "data[0001].4BK")
    assert found["./Names that 4D cannot hold/0001 a_b.txt::"] == b"colon"
    assert found["./Letters/second.txt::"] == b"colon"
    assert "1 file has a name that 4D's archives cannot hold" in app.journal()
    assert "1 symbolic link is not in data[0001].4BK" in app.journal()
    restored(folder, tmp_path / "back")
    back = tmp_path / "back" / "Letters"
    assert (back / "a:b.txt").read_bytes() == b"colon"
    assert (back / "a:b.txt").stat().st_nlink == 2
    assert (back / "link").readlink() == Path("a:b.txt")


def test_the_manifest_says_so_in_a_version_that_older_releases_refuse_politely(app: App) -> None:
    fourd, own = set_of(app), app.backup_set()
    assert json.loads((fourd / "manifest.json").read_bytes())["version"] == 2
    assert json.loads((own / "manifest.json").read_bytes())["version"] == 1
    main, log = read_manifest(fourd).archives
    assert (main.stream, main.compression, log.stream, log.compression) == ("4bk",) * 4


# --- damage ---------------------------------------------------------------------------------------


def test_damage_in_one_block_is_named_and_costs_that_block_alone(app: App, tmp_path: Path) -> None:
    app.configure({COMPRESSION: "None"}, attachments=(INDEX, "./Letters/"))
    folder = set_of(app)
    file = folder / "data[0001].4BK"
    data = bytearray(file.read_bytes())
    data[20 + 20 * (48 + 32768) + 5000] ^= 1
    file.write_bytes(data)
    verdict = verified(folder)
    assert not verdict.good
    assert "data[0001].4BK: frame 2" in verdict.damage[0]
    assert "Data/data.4DD" in verdict.damage[0]
    with pytest.raises(DamagedError, match="frame 2 at byte 525076 is damaged: block 5 of it"):
        restored(folder, tmp_path / "strict")
    assert not (tmp_path / "strict").exists()
    salvaged = salvage_set(
        folder, tmp_path / "salvaged", workers=2, stop=StopRequest(), report=silent
    )
    assert (salvaged.damaged, salvaged.lost_bytes) == (1, 32768)
    before, after = tree(app.package), tree(tmp_path / "salvaged")
    wanted = {path for path in before if not path.startswith(b"Logs")} - {b"Data/data.4DD"}
    assert all(after[path] == before[path] for path in wanted)


@pytest.mark.parametrize("at", [4, 20, 30, 44, 60, 100])
def test_damage_in_the_list_of_files_costs_nothing_of_ours(
    app: App, tmp_path: Path, at: int
) -> None:
    folder = set_of(app)
    file = folder / "data[0001].4BK"
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)
    assert not verified(folder).good
    salvaged = salvage_set(
        folder, tmp_path / "salvaged", workers=2, stop=StopRequest(), report=silent
    )
    assert salvaged.lost_bytes <= 32768
    assert (tmp_path / "salvaged/Settings/settings.4DSettings").read_bytes() == b"<preferences/>"


def test_a_manifest_of_another_set_is_noticed(app: App) -> None:
    one, other = set_of(app), set_of(app)
    for name in ("manifest.json", "SHA256SUMS"):
        text = (one / name).read_text().replace("[0001].4BK", "[0002].4BK")
        (other / name).write_text(text.replace("[0000].4BL", "[0001].4BL"))
    assert not verified(other).good


def test_a_manifest_that_nothing_vouches_for_is_compared_with_the_archive(
    app: App, tmp_path: Path
) -> None:
    folder = set_of(app)
    (folder / "SHA256SUMS").unlink()
    restored(folder, tmp_path / "back")
    assert (tmp_path / "back/Data/data.4DD").read_bytes() == DATA
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace("hello.4dm", "jello.4dm"))
    with pytest.raises(DamagedError, match="does not agree with the manifest"):
        restored(folder, tmp_path / "again")


def assert_noticed(app: App, folder: Path, target: Path, seed: int) -> bool:
    """A bit of one archive is changed and put back: nobody takes it for good. Whether it cost content."""
    file = folder / ("data[0000].4BL" if seed % 4 == 3 else "data[0001].4BK")
    whole = file.read_bytes()
    data = bytearray(whole)
    data[random.Random(seed).randrange(len(data))] ^= 1 << seed % 8
    file.write_bytes(data)
    assert not verified(folder).good, seed
    salvaged = salvage_set(
        folder, target / "salvaged", workers=2, stop=StopRequest(), report=silent
    )
    before, after = tree(app.package), tree(target / "salvaged")
    assert all(after[path] == before[path] for path in after.keys() & before.keys()), seed
    wanted = {path for path in before if not path.startswith(b"Logs")}
    assert len(wanted - after.keys()) == salvaged.damaged, seed
    assert salvaged.lost_bytes <= 32768, seed
    try:
        restored(folder, target / "back")
    except DamagedError:
        assert not (target / "back").exists(), seed
    else:
        back = tree(target / "back")
        assert all(back[path] == before[path] for path in back), seed
        shutil.rmtree(target / "back")
    shutil.rmtree(target / "salvaged")
    file.write_bytes(whole)
    return bool(salvaged.lost_bytes)


def test_no_changed_bit_passes_and_no_wrong_byte_comes_back(app: App, tmp_path: Path) -> None:
    app.data_file.write_bytes(patterned(100_000))
    folder = set_of(app)
    cost = [assert_noticed(app, folder, tmp_path, seed) for seed in range(12)]
    assert any(cost)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_none_of_a_thousand_changed_bits_passes(app: App, tmp_path: Path) -> None:
    app.data_file.write_bytes(patterned(100_000))
    folder = set_of(app)
    cost = [assert_noticed(app, folder, tmp_path, seed) for seed in range(1000)]
    print(f"{len(cost)} changes, {sum(cost)} of them cost content")


def test_without_a_manifest_it_says_what_to_type(app: App, tmp_path: Path) -> None:
    folder = set_of(app)
    (folder / "manifest.json").unlink()
    with pytest.raises(EngineError) as caught:
        salvage_set(folder, tmp_path / "s", workers=2, stop=StopRequest(), report=silent)
    assert f"backup4d 4bk extract '{folder}/data[0001].4BK' --to FOLDER" in (
        caught.value.hint or ""
    )
    assert not (tmp_path / "s").exists()


# --- settings -------------------------------------------------------------------------------------


def test_segments_and_compact_are_not_written_and_that_is_said_each_time(app: App) -> None:
    app.configure({COMPRESSION: "Compact", SEGMENT: "1"})
    (app.package / "Letters").mkdir()
    outcome = app.backup(archives=FOURD)
    assert outcome.folder is not None
    assert verified(outcome.folder).good
    assert (outcome.folder / "data[0001].4BK").stat().st_size < len(DATA)
    for said in (app.journal(), " ".join(outcome.warnings)):
        assert "FileSegmentation/DefaultSize 1: with ArchiveFormat 4BK archives are not cut" in said
        assert "CompressionRate Compact: with ArchiveFormat 4BK it is packed as Fast" in said


def test_after_a_change_of_format_sets_of_both_are_rotated_together(app: App) -> None:
    app.configure({KEEP_ENABLED: "True", KEEP: "2"})
    (app.package / "Letters").mkdir()
    formats = [ArchiveFormat.TAR, FOURD, ArchiveFormat.TAR, FOURD]
    for archives in formats:
        app.backup(archives=archives)
        pass_a_day(app)
    assert app.sets() == ["data[0003]", "data[0004]"]
    names = [{p.suffix for p in (app.destination / one).iterdir()} for one in app.sets()]
    assert ".zst" in names[0]
    assert ".4BK" in names[1]
    assert all(verified(app.destination / one).good for one in app.sets())


def test_members_lie_where_the_manifest_says(app: App) -> None:
    folder = set_of(app)
    file = folder / "data[0001].4BK"
    stream = plain_stream(file)
    main, data, at = read_manifest(folder).archives[0], file.read_bytes(), 0
    rows = list(main.frames.rows())
    assert [row[:2] for row in rows[:1]] == [(0, 20)]
    for raw, stored, digest in rows:
        assert blake3(stream[at : at + raw]).digest() == digest
        assert data[:4] == (b"pmoC" if raw else b"70KB")
        data, at = data[stored:], at + raw
    assert (data, at) == (b"", len(stream))
    for member in iterate_members(folder):
        if member.kind is Kind.FILE and member.path != b"Data/data.journal":
            content = stream[member.data : member.data + member.size]
            assert content == (app.package / os.fsdecode(member.path)).read_bytes()


# --- without this program -------------------------------------------------------------------------


def test_restore_py_brings_back_what_the_program_does(app: App, tmp_path: Path) -> None:
    app.configure(attachments=(INDEX, "./Odd/"))
    make_oddities(app.package / "Odd")
    # plain Python: what is large there says nothing more
    odd = app.package / "Odd"
    for file in (*(odd / "sizes").iterdir(), *(odd / "sparse").iterdir(), odd / "noise"):
        if file.stat().st_size > 1 << 16 and file.name != "hole at the start":
            file.unlink()
    folder = app.backup_set(archives=FOURD)
    code, said = run(folder, tmp_path / "alone")
    restored(folder, tmp_path / "own")
    assert (code, tree(tmp_path / "alone")) == (0, tree(tmp_path / "own")), said


def test_restore_py_names_damage_and_needs_no_manifest(app: App, tmp_path: Path) -> None:
    folder = set_of(app)
    (folder / "manifest.json").unlink()
    code, said = run(folder, tmp_path / "alone")
    assert code == 0, said
    assert (tmp_path / "alone/Data/data.4DD").read_bytes() == DATA
    assert (tmp_path / "alone/Data/data.journal").read_bytes() == patterned(900)
    file = folder / "data[0001].4BK"
    data = bytearray(file.read_bytes())
    data[-60] ^= 1
    file.write_bytes(data)
    code, said = run(folder, tmp_path / "again", "--anyway")
    assert code == 1
    assert "the content of a block is not what was written" in said
