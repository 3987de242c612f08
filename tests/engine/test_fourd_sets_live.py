"""Sets in 4D's format: sources that change, logs, real archives, the room they need, and who asks for them."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.codec import FRAME_BYTES
from engine.errors import DamagedError, SourceError
from engine.fourd.blockstream import BlockStream, Packing, Run, unpack_run
from engine.fourd.codec import PlainCodec
from engine.logsource import open_log
from engine.member import Attributes, Kind, Member, Role, disk_bytes, disk_length, holes_of
from engine.plan import plan_backup
from engine.progress import Progress
from engine.request import Request
from engine.sets import Inventory
from engine.unchanged import data_is_unchanged
from scheduler.runner_request import request_from_json, request_to_json
from settings.paths import PathMap
from settings.service_model import ArchiveFormat
from tests.engine.fourd_stories import flipped
from tests.engine.real_shapes import morning
from tests.engine.stories import (
    COMPRESSION,
    CORPUS,
    INDEX,
    KEEP,
    PARIS,
    facts_of,
    make_app,
    pass_a_day,
    patterned,
    restored,
    stored,
    tree,
    verified,
)
from tests.engine.test_changing_sources import (
    LARGE,
    SMALL,
    Disturbance,
    Growing,
    Replacing,
    Shrinking,
    disturbing,
    real_app,
)
from tests.engine.test_fourd_sets import files_in
from tests.settings.forms import settings_of

FOURD = ArchiveFormat.FOURD
REAL = sorted((CORPUS / "archives").glob("*.4BK"))
real = pytest.mark.skipif(not REAL, reason="the corpus of real archives is not there")
MIB = 1 << 20


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("kind", [Disturbance, Growing, Shrinking, Replacing])
def test_however_a_file_changes_list_and_content_of_the_archive_agree(
    tmp_path: Path, kind: type[Disturbance], size: int
) -> None:
    app = real_app(tmp_path, size)
    with disturbing(kind(app.data_file, size, times=20)):
        folder = app.backup_set(archives=FOURD)
    assert verified(folder).good
    content = files_in(folder / "data[0001].4BK")["./Data/data.4DD::DataFile"]
    assert len(set(content)) == 1
    restored(folder, tmp_path / "back")
    assert (tmp_path / "back/Data/data.4DD").read_bytes() == content


def test_a_log_in_a_set_is_read_like_any_other_and_tells_of_changes(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.log.write_bytes(morning().content())
    folder = app.backup_set(archives=FOURD)
    for path in (folder, folder / "data[0000].4BL"):
        with open_log(path) as log:
            assert log.reader.read(0, log.reader.size) == morning().content()
    app.log.write_bytes(b"")
    empty = app.backup_set(archives=FOURD)
    assert files_in(empty / "data[0001].4BL") == {"./data.journal::": b""}
    assert verified(empty).good
    app.log.unlink()
    without = app.backup_set(archives=FOURD)
    assert not list(without.glob("*.4BL"))
    assert verified(without).good


def test_a_stand_in_name_is_never_that_of_another_file(tmp_path: Path) -> None:
    """Somebody has used 4D's own restore, and made a backup of what came of it."""
    app = make_app(tmp_path, attachments=(INDEX, "./Names that 4D cannot hold/", "./Odd/"))
    for name, content in {"Names that 4D cannot hold/0001 a_b": b"1", "Odd/a:b": b"2"}.items():
        (app.package / name).parent.mkdir(exist_ok=True)
        (app.package / name).write_bytes(content)
    folder = app.backup_set(archives=FOURD)
    assert verified(folder).good
    held = files_in(folder / "data[0001].4BK")
    assert held["./Names that 4D cannot hold/0001 a_b::"] == b"1"
    assert held["./Names that 4D cannot hold again/0001 a_b::"] == b"2"


def test_a_backup_is_postponed_when_nothing_changed_since_such_a_set(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    outcome = app.backup(archives=FOURD)
    assert outcome.folder is not None
    assert outcome.facts is not None
    last = stored(1, app.destination)
    assert last.folder == outcome.folder
    assert data_is_unchanged(app.layout, last)
    app.data_file.write_bytes(patterned(3001))
    assert not data_is_unchanged(app.layout, last)


def test_a_folder_without_any_file_is_refused_in_words(tmp_path: Path) -> None:
    nothing = {"General/IncludeDataFile": "False", "General/IncludeStructureFile": "False"}
    app = make_app(tmp_path, nothing, attachments=("./Empty/",))
    (app.package / "Empty").mkdir()
    with pytest.raises(
        SourceError, match="an archive of 4D holds files, and there is none to save"
    ):
        app.backup(archives=FOURD)
    assert app.sets() == app.hidden() == []


@real
@pytest.mark.parametrize("file", REAL, ids=lambda file: file.name)
def test_what_real_archives_hold_is_the_same_in_a_set_made_of_it(
    tmp_path: Path, file: Path
) -> None:
    held = files_in(file)
    app = make_app(tmp_path, attachments=(INDEX, "./Of 4D/"))
    for text, content in held.items():
        path = text.partition("::")[0].removeprefix("./")
        target = app.data_file if text.endswith("::DataFile") else app.package / "Of 4D" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    folder = app.backup_set(archives=FOURD)
    assert verified(folder).good
    made = files_in(folder / "data[0001].4BK")
    for text, content in held.items():
        path = text.partition("::")[0].removeprefix("./")
        is_data = text.endswith("::DataFile")
        name = "./Data/data.4DD::DataFile" if is_data else f"./Of 4D/{path}::"
        assert made[name] == content
    restored(folder, tmp_path / "back")
    before, after = tree(app.package), tree(tmp_path / "back")
    assert after == {path: facts for path, facts in before.items() if not path.startswith(b"Logs")}


def test_a_manifest_that_says_otherwise_than_the_list_in_the_archive_is_damage(
    tmp_path: Path,
) -> None:
    folder = make_app(tmp_path).backup_set(archives=FOURD)
    manifest, sums = folder / "manifest.json", folder / "SHA256SUMS"
    before = hashlib.sha256(manifest.read_bytes()).hexdigest()
    manifest.write_text(manifest.read_text().replace("hello.4dm", "jello.4dm"))
    after = hashlib.sha256(manifest.read_bytes()).hexdigest()
    sums.write_text(sums.read_text().replace(before, after))
    (damage,) = verified(folder).damage
    assert "the archive does not agree with the manifest" in damage


# --- values ---------------------------------------------------------------------------------------


def planned(archives: ArchiveFormat, files: tuple[tuple[str, str], ...], **how: Any) -> int:
    last = stored(1, content_bytes=2000, archive_bytes=1000, files=files)
    wanted = {"known_number": 0, "content_bytes": 100 * MIB, "free_bytes": 1 << 40, **how}
    inventory = Inventory((last,), 1, ())
    return plan_backup(
        inventory, settings_of({KEEP: "2"}), archives=archives, **wanted
    ).needed_bytes


def test_room_is_estimated_by_sets_of_the_same_format_alone() -> None:
    own, fourd = facts_of(1).files, (("main", "data[0001].4BK"),)
    assert planned(FOURD, fourd, kind="ext4") == 55 * MIB + MIB
    assert planned(FOURD, own, kind="ext4") == 110 * MIB + MIB
    assert planned(ArchiveFormat.TAR, fourd) == 110 * MIB + MIB
    assert planned(ArchiveFormat.TAR, own) == 55 * MIB + MIB


def test_where_a_draft_cannot_give_its_room_back_it_is_counted() -> None:
    assert planned(FOURD, (("main", "data[0001].4BK"),), kind="nfs4") == 110 * MIB + MIB


def test_the_service_hands_the_format_to_its_child(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    request = Request(app.layout, PathMap(), PARIS, None, archives=FOURD)
    row = json.loads(json.dumps(request_to_json(request, ZoneInfo("Europe/Paris"))))
    assert request_from_json(row, app.layout).archives is FOURD
    del row["archives"]  # as a service of before writes it
    assert request_from_json(row, app.layout).archives is ArchiveFormat.TAR


def test_what_was_just_written_is_read_back_with_everything_that_4d_compares() -> None:
    runs: list[Run] = []
    with BlockStream(runs.append, Packing(1)) as stream:
        stream.put(patterned(40_000))
        stream.finish()
    (run,) = runs
    assert unpack_run(run.stored, 40_000, compared=True) == patterned(40_000)
    for at in (16, 32, 47):  # the two MD5s
        wrong = flipped(run.stored, at)
        with pytest.raises(DamagedError):
            unpack_run(wrong, 40_000, compared=True)
    # a restore compares the digest of the whole file, and needs no more than that the stored bytes are right
    assert unpack_run(flipped(run.stored, 16), 40_000, compared=False) == patterned(40_000)
    for raw, given in ((39_999, run.stored), (40_000, run.stored[:-1]), (0, b"70KB" + bytes(16))):
        with pytest.raises(DamagedError):
            unpack_run(given, raw, compared=True)


def test_holes_take_no_room() -> None:
    member = Member(
        b"x", Kind.FILE, Role.DATA, 100, Attributes(0, 0, 0, 0), 0, 0, extents=((10, 20), (100, 0))
    )
    assert holes_of(member) == ((0, 10), (30, 70))
    whole = Member(
        b"x", Kind.FILE, Role.DATA, 100, Attributes(0, 0, 0, 0), 0, 0, holes=((0, 10), (30, 70))
    )
    assert disk_bytes(whole) == 20
    assert [disk_length(whole, at, 10) for at in range(0, 100, 20)] == [0, 10, 0, 0, 0]
    assert disk_bytes(member) == 20


def test_the_draft_gives_its_room_back_while_the_archive_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.fourd.setarchives._GIVE_BACK_BYTES", 1 << 18)
    app = make_app(tmp_path, data=random.Random(3).randbytes(6 * MIB))
    taken: list[int] = []

    def watch(progress: Progress) -> None:
        if progress.phase == "packing":
            taken.extend(
                one.stat().st_blocks * 512 for one in app.destination.glob(".*/data*.tar.zst")
            )

    folder = app.backup_set(archives=FOURD, report=watch)
    assert max(taken) > 6 * MIB
    assert min(taken) < 2 * MIB
    assert verified(folder).good
    restored(folder, tmp_path / "back")
    assert (tmp_path / "back/Data/data.4DD").read_bytes() == app.data_file.read_bytes()


def test_where_only_the_slow_packer_works_each_backup_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.fourd.setsettings.is_compiled", lambda: False)
    monkeypatch.setattr("engine.fourd.blockstream.make_codec", PlainCodec)
    app = make_app(tmp_path)
    told = "archives of 4D's format are packed in plain Python, at 2 MB/s: install wasmtime"
    outcome = app.backup(archives=FOURD)
    assert any(told in warning for warning in outcome.warnings)
    assert told in app.journal()
    app.configure({COMPRESSION: "None"})
    assert not app.backup(archives=FOURD).warnings
    assert not app.backup().warnings


def test_both_formats_in_turn_take_nothing_over_and_lose_nothing(tmp_path: Path) -> None:
    app = make_app(tmp_path, data=patterned(3 * FRAME_BYTES))
    for archives in (ArchiveFormat.TAR, FOURD, FOURD, ArchiveFormat.TAR):
        folder = app.backup_set(archives=archives)
        assert verified(folder).good
        restored(folder, tmp_path / folder.name)
        back = tmp_path / folder.name / "Data/data.4DD"
        assert back.read_bytes() == app.data_file.read_bytes()
        pass_a_day(app)
