"""Damage is always found, told in a sentence, and never restored as good; a hostile manifest leads nowhere."""

import fcntl
import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.errors import (
    Code,
    DamagedError,
    EngineError,
    MissingSetError,
    NoRoomError,
    RefusedError,
    RestoreError,
    StoppedError,
)
from engine.progress import Progress, silent
from engine.restore import default_target, restore_set
from engine.stop import StopRequest
from tests.engine.stories import (
    COMPRESSION,
    SEGMENT,
    App,
    make_app,
    patterned,
    restored,
    tree,
    verified,
)

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    folder = tmp_path_factory.mktemp("damage")
    app = make_app(folder, {COMPRESSION: "Fast"}, data=patterned(2_500_000))
    (app.package / "Project" / "link").symlink_to("data.4DD")
    os.link(app.data_file, app.package / "Project" / "twin")
    return app


@pytest.fixture(scope="module")
def good(app: App) -> Path:
    return app.backup_set()


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    """A set to spoil."""
    return Path(shutil.copytree(good, tmp_path / good.name))


def expected(app: App) -> dict[bytes, tuple[Any, ...]]:
    return {
        path: facts for path, facts in tree(app.package).items() if not path.startswith(b"Logs")
    }


def flip(file: Path, offset: int, value: int) -> None:
    """Put another byte into a file, in place."""
    with file.open("r+b") as stream:
        stream.seek(offset)
        old = stream.read(1)[0]
        stream.seek(offset)
        stream.write(bytes([old ^ value]))


def assert_found(folder: Path, app: App, target: Path) -> None:
    """The damage is reported, and a restore either fails or brings back exactly the source."""
    try:
        verdict = verified(folder)
    except RefusedError as error:
        assert "format version" in str(error)  # noqa: PT017 - a flip may make a newer version of it
    else:
        assert not verdict.good
        assert verdict.code is not Code.DONE
        assert all(len(sentence) > 20 for sentence in verdict.damage)
    try:
        restored(folder, target)
    except EngineError:
        assert not target.exists()
    else:
        assert tree(target) == expected(app)
        shutil.rmtree(target)
    assert [p.name for p in target.parent.iterdir() if "restoring" in p.name] == []


def places(file: Path, count: int) -> list[int]:
    """Some places in a file, always the same: both ends, and others spread over it."""
    size = file.stat().st_size
    some = random.Random(size).sample(range(size), min(count, size))
    return sorted({0, 1, size - 1, size - 2, *some})


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("data[0001].tar.zst", 16),
        ("data[0000].journal.zst", 8),
        ("manifest.json", 40),
        ("SHA256SUMS", 16),
    ],
)
def test_a_flipped_byte_is_found_wherever_it_is(
    copy: Path, app: App, tmp_path: Path, name: str, count: int
) -> None:
    for offset in places(copy / name, count):
        for value in (0x01, 0x54):
            flip(copy / name, offset, value)
            assert_found(copy, app, tmp_path / "back")
            flip(copy / name, offset, value)
    assert verified(copy).good


@pytest.mark.slow
@pytest.mark.parametrize("name", ["data[0000].journal.zst", "manifest.json", "SHA256SUMS"])
@pytest.mark.timeout(900)
def test_a_flipped_byte_is_found_at_every_place(
    copy: Path, app: App, tmp_path: Path, name: str
) -> None:
    for offset in range((copy / name).stat().st_size):
        value = 1 << (offset % 8)
        flip(copy / name, offset, value)
        assert_found(copy, app, tmp_path / "back")
        flip(copy / name, offset, value)


@pytest.mark.parametrize("rate", ["None", "Fast"])
@pytest.mark.parametrize("kept", [0, 1, 512, 100_000, -1])
def test_a_short_archive_is_found(tmp_path: Path, rate: str, kept: int) -> None:
    app = make_app(tmp_path, {COMPRESSION: rate}, data=patterned(1_500_000))
    folder = app.backup_set()
    (archive,) = (p for p in folder.iterdir() if ".tar" in p.name)
    os.truncate(archive, kept if kept >= 0 else archive.stat().st_size + kept)

    verdict = verified(folder)

    assert not verdict.good
    assert verdict.code is Code.ARCHIVE_DAMAGED
    assert "the manifest says" in verdict.damage[0]
    with pytest.raises(DamagedError):
        restored(folder, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_an_archive_with_something_behind_it_is_found(copy: Path) -> None:
    with (copy / "data[0001].tar.zst").open("ab") as stream:
        stream.write(b"x")

    assert not verified(copy).good


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("data[0001].tar.zst", Code.ARCHIVE_MISSING),
        ("data[0000].journal.zst", Code.LOG_ARCHIVE_MISSING),
        ("manifest.json", Code.ARCHIVE_MISSING),
        ("SHA256SUMS", Code.ARCHIVE_DAMAGED),
    ],
)
def test_a_missing_file_is_named(copy: Path, name: str, code: Code) -> None:
    (copy / name).unlink()

    verdict = verified(copy)

    assert verdict.code is code
    assert name in verdict.damage[0]


def test_damage_of_the_log_has_the_logs_number(copy: Path) -> None:
    flip(copy / "data[0000].journal.zst", 100, 0x10)

    verdict = verified(copy)

    assert verdict.code is Code.LOG_ARCHIVE_DAMAGED
    assert "data[0000].journal.zst" in verdict.damage[0]


def test_a_missing_segment_is_named(tmp_path: Path) -> None:
    app = make_app(tmp_path, {COMPRESSION: "None", SEGMENT: "1"}, data=patterned(2_500_000))
    folder = app.backup_set()
    (folder / "data[0001-0002].tar").unlink()

    verdict = verified(folder)

    assert verdict.code is Code.ARCHIVE_MISSING
    assert "data[0001-0002].tar" in verdict.damage[0]


def test_exchanged_segments_are_found(tmp_path: Path) -> None:
    app = make_app(tmp_path, {COMPRESSION: "None", SEGMENT: "1"}, data=patterned(3_500_000))
    folder = app.backup_set()
    one, two = folder / "data[0001-0001].tar", folder / "data[0001-0002].tar"
    one.rename(folder / "x")
    two.rename(one)
    (folder / "x").rename(two)

    assert not verified(folder).good
    with pytest.raises(DamagedError):
        restored(folder, tmp_path / "back")


def test_the_archive_of_another_set_is_not_taken_for_this_one(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    first = app.backup_set()
    app.data_file.write_bytes(patterned(3000, seed=9))
    second = app.backup_set()
    shutil.copy(first / "data[0001].tar.zst", second / "data[0002].tar.zst")

    assert not verified(second).good


def test_verification_does_not_change_the_set(copy: Path) -> None:
    before = tree(copy)

    verified(copy)

    assert tree(copy) == before


# --- restore --------------------------------------------------------------------------------------


def test_a_folder_with_something_in_it_is_never_restored_over(good: Path, tmp_path: Path) -> None:
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "precious").write_bytes(b"x")

    with pytest.raises(RestoreError, match="exists already; nothing was written"):
        restored(good, tmp_path / "back")

    assert [p.name for p in (tmp_path / "back").iterdir()] == ["precious"]
    assert [p.name for p in tmp_path.iterdir()] == ["back"]


@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_what_stands_in_the_place_of_the_target_stays(
    good: Path, tmp_path: Path, kind: str
) -> None:
    if kind == "file":
        (tmp_path / "back").write_bytes(b"x")
    else:
        (tmp_path / "back").symlink_to("nowhere")

    with pytest.raises(RestoreError, match="exists already"):
        restored(good, tmp_path / "back")

    assert [p.name for p in tmp_path.iterdir()] == ["back"]


def test_an_empty_folder_is_a_good_target(good: Path, app: App, tmp_path: Path) -> None:
    (tmp_path / "back").mkdir()

    restored(good, tmp_path / "back")

    assert tree(tmp_path / "back") == expected(app)


def test_a_restore_that_died_is_begun_anew(good: Path, app: App, tmp_path: Path) -> None:
    (tmp_path / ".backup4d-restoring-dead" / "Data").mkdir(parents=True)
    (tmp_path / ".backup4d-restoring-dead" / "Data" / "data.4DD").write_bytes(b"half")

    restored(good, tmp_path / "back")

    assert tree(tmp_path / "back") == expected(app)
    assert [p.name for p in tmp_path.iterdir()] == ["back"]


def test_a_restore_that_is_alive_is_left_alone(good: Path, tmp_path: Path) -> None:
    other = tmp_path / ".backup4d-restoring-alive"
    other.mkdir()
    descriptor = os.open(other, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)

    restored(good, tmp_path / "back")

    assert other.is_dir()
    os.close(descriptor)


def test_a_set_is_restored_into_an_empty_folder_that_is_there(
    good: Path, app: App, tmp_path: Path
) -> None:
    """It may be the root of a mounted volume, which no rename can replace."""
    (tmp_path / "volume").mkdir()
    (tmp_path / "link").symlink_to("volume")

    restored(good, tmp_path / "link")

    assert tree(tmp_path / "volume") == expected(app)


def test_a_target_without_a_parent_is_refused(good: Path, tmp_path: Path) -> None:
    with pytest.raises(RestoreError, match="cannot be written"):
        restored(good, tmp_path / "not" / "there")


def test_the_target_is_named_like_the_set_when_nothing_is_said() -> None:
    assert default_target(Path("/b/data[0007]")) == Path("/b/data[0007] restored")


@pytest.mark.parametrize("reports", [1, 2, 3])
def test_a_stopped_restore_leaves_nothing(good: Path, tmp_path: Path, reports: int) -> None:
    stop, seen = StopRequest(), []

    def stop_soon(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == reports:
            stop.ask()

    with pytest.raises(StoppedError):
        restore_set(good, tmp_path / "back", workers=2, stop=stop, report=stop_soon)

    assert list(tmp_path.iterdir()) == []


def test_a_restore_tells_how_far_it_is(good: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []

    result = restore_set(good, tmp_path / "back", workers=2, stop=StopRequest(), report=seen.append)

    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert seen[-1].done == seen[-1].total == result.content_bytes


# --- hostile manifests ----------------------------------------------------------------------------


def forge(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a manifest as somebody would who can also renew the checksums."""
    document = json.loads((folder / "manifest.json").read_bytes())
    change(document)
    lines = [f'"{key}": {json.dumps(document[key])}' for key in ("format", "version", "set")]
    lines += [f'"{key}": {json.dumps(document[key])}' for key in ("settings", "archives")]
    frames = ",\n".join(json.dumps(row, separators=(",", ":")) for row in document["frames"])
    members = ",\n".join(json.dumps(row, separators=(",", ":")) for row in document["members"])
    head = ",\n".join(lines)
    text = f'{{\n{head},\n"frames": [\n{frames}\n],\n"members": [\n{members}\n]\n}}\n'
    (folder / "manifest.json").write_text(text)
    renew_checksums(folder)


def renew_checksums(folder: Path) -> None:
    names = sorted(p.name for p in folder.iterdir() if p.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


def member(document: dict[str, Any], path: str) -> dict[str, Any]:
    rows: Rows = document["members"]
    return next(row for row in rows if row["path"] == path)


def test_forging_nothing_changes_nothing(copy: Path, app: App, tmp_path: Path) -> None:
    forge(copy, lambda _document: None)

    assert verified(copy).good
    restored(copy, tmp_path / "back")
    assert tree(tmp_path / "back") == expected(app)


@pytest.mark.parametrize(
    "path",
    [
        "../outside",
        "/srv/outside",
        "Data/../../outside",
        "Data//data.4DD",
        "./outside",
        "..",
        ".",
        "",
        "Data/",
    ],
)
@pytest.mark.parametrize("which", ["Data/data.4DD", "Project/link", "Project/twin", "Project"])
def test_a_path_that_leads_outside_is_never_written(
    copy: Path, tmp_path: Path, path: str, which: str
) -> None:
    forge(copy, lambda document: member(document, which).update(path=path))
    before = sorted(p.name for p in tmp_path.iterdir())

    with pytest.raises(EngineError):
        restored(copy, tmp_path / "inner")

    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert not verified(copy).good


def test_nothing_is_written_through_a_link_of_the_archive(copy: Path, tmp_path: Path) -> None:
    """A link out of the target, then a file below it: the classic attack on unpackers."""
    (tmp_path / "victim").mkdir()

    def attack(document: dict[str, Any]) -> None:
        link = member(document, "Project/link")
        link.update(path="Evil", link=str(tmp_path / "victim"))
        rows: Rows = document["members"]
        rows.remove(link)
        rows.insert(0, {**link, "header": 0, "data": 0})
        member(document, "Data/data.4DD").update(path="Evil/data.4DD")

    forge(copy, attack)

    with pytest.raises(EngineError):
        restored(copy, tmp_path / "back")

    assert list((tmp_path / "victim").iterdir()) == []
    assert not (tmp_path / "back").exists()


def test_nothing_is_written_through_a_link_put_there_meanwhile(good: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()

    def put(_progress: Progress) -> None:
        folder = tmp_path / ".back.restoring" / "Project"
        if not folder.is_symlink():
            folder.symlink_to(tmp_path / "victim")

    with pytest.raises(RestoreError):
        restore_set(good, tmp_path / "back", workers=2, stop=StopRequest(), report=put)

    assert list((tmp_path / "victim").iterdir()) == []
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("link", ["../../../../etc/hostname", "/etc/hostname", "not there", ""])
def test_a_hard_link_never_leads_outside(copy: Path, tmp_path: Path, link: str) -> None:
    forge(copy, lambda document: member(document, "Project/twin").update(link=link))

    with pytest.raises(EngineError):
        restored(copy, tmp_path / "back")

    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize(
    "name", ["../data[0001].tar.zst", "/etc/passwd", "a/b", "..", "", ".", "a\0b"]
)
def test_an_archive_file_outside_the_set_is_never_opened(copy: Path, name: str) -> None:
    def attack(document: dict[str, Any]) -> None:
        document["archives"][0]["files"][0]["name"] = name

    forge(copy, attack)

    verdict = verified(copy)
    assert not verdict.good
    assert "manifest.json is damaged" in verdict.damage[0]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", 10**30),
        ("size", -1),
        ("size", 2_500_001),
        ("size", 2_499_999),
        ("data", 10**17),
        ("data", 0),
        ("header", 10**17),
        ("blake3", "00" * 32),
        ("blake3", None),
        ("blake3", 7),
        ("mode", "7777777777"),
        ("mode", "4777"),
        ("mtime_ns", 10**40),
        ("uid", 2**64),
        ("extents", [[0, 2_500_000], [0, 2_500_000]]),
        ("extents", [[2_500_000, 10**15]]),
        ("type", "folder"),
        ("type", "device"),
        ("path", "Data/another.4DD"),
        ("path", "x" * 300),
    ],
)
def test_a_member_that_is_not_what_the_archive_holds_is_found(
    copy: Path, tmp_path: Path, key: str, value: object
) -> None:
    forge(copy, lambda document: member(document, "Data/data.4DD").update({key: value}))

    verdict = verified(copy)

    assert not verdict.good
    try:
        restored(copy, tmp_path / "back")
    except EngineError:
        assert not (tmp_path / "back").exists()


@pytest.mark.parametrize(
    "row",
    [
        [0, 1, 1, "00" * 32],
        [0, 2**62, 2**62, "00" * 32],
        [0, 2**70, 1, "00" * 32],
        [0, 0, 0, "00" * 32],
        [5, 1, 1, "00" * 32],
        [0, -1, 1, "00" * 32],
        [0, 1, 1, "zz"],
        [0, 1],
        "text",
        None,
        [0, 1.5, 1, "00" * 32],
        ["0", 1, 1, "00" * 32],
    ],
)
def test_a_frame_that_cannot_be_is_damage(copy: Path, tmp_path: Path, row: object) -> None:
    forge(copy, lambda document: document["frames"].insert(1, row))

    verdict = verified(copy)

    assert not verdict.good
    with pytest.raises(DamagedError):
        restored(copy, tmp_path / "back")


def test_a_wrong_digest_of_a_file_refuses_the_restore(copy: Path, tmp_path: Path) -> None:
    forge(copy, lambda document: member(document, "Data/data.4DD").update(blake3="00" * 32))

    assert not verified(copy).good
    with pytest.raises(DamagedError):
        restored(copy, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_wrong_digest_of_a_frame_is_found_and_its_files_are_judged_by_their_own(
    good: Path, copy: Path, tmp_path: Path
) -> None:
    forge(copy, lambda document: document["frames"][1].__setitem__(3, "00" * 32))

    assert not verified(copy).good
    restored(copy, tmp_path / "back")
    restored(good, tmp_path / "of the good one")
    assert tree(tmp_path / "back") == tree(tmp_path / "of the good one")


def test_a_frame_that_unpacks_to_more_than_it_says_is_not_unpacked(copy: Path) -> None:
    def attack(document: dict[str, Any]) -> None:
        first, second = document["frames"][:2]
        first[1] -= 100
        second[1] += 100

    forge(copy, attack)

    assert not verified(copy).good


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("number", "seven"),
        ("number", -7),
        ("started", "yesterday"),
        ("started", "2026-01-01T00:00:00"),
        ("started", 5),
        ("files", [["main", "../x"]]),
        ("files", 7),
        ("missing", None),
        ("skipped", [["a"]]),
        ("content_bytes", 1.5),
    ],
)
def test_a_head_that_is_none_is_damage(copy: Path, key: str, value: object) -> None:
    forge(copy, lambda document: document["set"].update({key: value}))

    verdict = verified(copy)

    assert not verdict.good
    assert "manifest.json is damaged" in verdict.damage[0]


@pytest.mark.parametrize("line", [3, -4])
def test_deep_nesting_in_a_manifest_is_damage(copy: Path, line: int) -> None:
    lines = (copy / "manifest.json").read_bytes().splitlines(keepends=True)
    key = lines[line].partition(b": ")[0] + b": " if line > 0 else b""
    lines[line] = key + b"[" * 200_000 + b"]" * 200_000 + b",\n"
    (copy / "manifest.json").write_bytes(b"".join(lines))
    renew_checksums(copy)

    assert not verified(copy).good


def test_a_member_is_never_left_out_of_the_comparison(copy: Path, tmp_path: Path) -> None:
    """A manifest that lists one file less, with good checksums, does not restore an application without it."""
    forge(copy, lambda document: document["members"].remove(member(document, "Data/data.4DIndx")))

    assert not verified(copy).good
    with pytest.raises(EngineError):
        restored(copy, tmp_path / "back")


def test_a_set_without_room_for_it_is_not_begun(copy: Path, tmp_path: Path) -> None:
    forge(copy, lambda document: document["set"].update(content_bytes=2**60))

    with pytest.raises(NoRoomError, match="need"):
        restored(copy, tmp_path / "back")

    assert not any("back" in p.name for p in tmp_path.iterdir())


def test_a_newer_format_is_refused_by_verification_and_restore(copy: Path, tmp_path: Path) -> None:
    forge(copy, lambda document: document.update(version=3))

    with pytest.raises(RefusedError, match="format version 3"):
        verified(copy)
    with pytest.raises(RefusedError, match="format version 3"):
        restored(copy, tmp_path / "back")


def test_a_set_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingSetError):
        restore_set(
            tmp_path / "data[0009]",
            tmp_path / "back",
            workers=1,
            stop=StopRequest(),
            report=silent,
        )
