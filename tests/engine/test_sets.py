"""Numbers are never used twice, rotation keeps what the settings say, and nobody else's files are touched."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EngineError, NoRoomError
from engine.plan import plan_backup
from engine.sets import (
    Inventory,
    StoredSet,
    belongs_to_destination,
    database_tag,
    is_leftover,
    plan_rotation,
    set_name,
    staging_folder,
    take_inventory,
)
from settings.model import KeepAll, KeepLast, Rotation
from tests.engine.stories import (
    ERASE_BEFORE,
    KEEP,
    KEEP_ENABLED,
    App,
    make_app,
    pass_a_day,
    stored,
    tree,
    verified,
)
from tests.fakes import StoryClock
from tests.settings.forms import settings_of

SETS = st.lists(
    st.builds(stored, st.integers(1, 12_000), complete=st.booleans()),
    unique_by=lambda stored: stored.number,
    max_size=30,
)
KEEPS = st.builds(KeepLast, st.integers(1, 12), st.booleans())


def gone(sets: list[StoredSet], rotation: Rotation, *, coming: bool = False) -> list[int]:
    return [removal.stored.number for removal in plan_rotation(sets, rotation, coming=coming)]


def last_complete(sets: list[StoredSet]) -> int | None:
    return max((s.number for s in sets if s.facts.complete), default=None)


# --- the plan -------------------------------------------------------------------------------------


@given(sets=SETS, rotation=KEEPS, coming=st.booleans())
def test_the_newest_complete_set_is_never_planned_to_go(
    sets: list[StoredSet], rotation: KeepLast, coming: bool
) -> None:
    assert last_complete(sets) not in gone(sets, rotation, coming=coming)


@given(sets=SETS, rotation=KEEPS, coming=st.booleans())
def test_what_goes_is_older_than_all_that_stays_but_the_last_good_one(
    sets: list[StoredSet], rotation: KeepLast, coming: bool
) -> None:
    removed = gone(sets, rotation, coming=coming)

    staying = {s.number for s in sets} - set(removed) - {last_complete(sets)}
    assert all(number < min(staying, default=10**9) for number in removed)
    assert removed == sorted(removed)


@given(sets=SETS, rotation=KEEPS)
def test_as_many_stay_as_asked_for_and_one_more_only_when_it_is_the_last_good_one(
    sets: list[StoredSet], rotation: KeepLast
) -> None:
    removed = gone(sets, rotation)

    stay = sorted({s.number for s in sets} - set(removed))
    newest = sorted(s.number for s in sets)[-rotation.count :]
    assert set(newest) <= set(stay)
    assert set(stay) - set(newest) <= {last_complete(sets)}


@given(sets=SETS, count=st.integers(1, 12))
def test_before_writing_one_place_is_made_free(sets: list[StoredSet], count: int) -> None:
    removed = gone(sets, KeepLast(count, erase_before=True), coming=True)

    stay = len(sets) - len(removed)
    assert stay <= max(count - 1, 1) or (stay == count and last_complete(sets) is not None)


@given(sets=SETS)
def test_keeping_all_removes_nothing(sets: list[StoredSet]) -> None:
    assert gone(sets, KeepAll()) == []


@given(sets=SETS, rotation=KEEPS)
def test_a_plan_carried_out_leaves_nothing_to_plan(
    sets: list[StoredSet], rotation: KeepLast
) -> None:
    removed = set(gone(sets, rotation))

    assert gone([s for s in sets if s.number not in removed], rotation) == []


@given(data=st.data(), sets=SETS, rotation=KEEPS)
def test_the_order_in_which_sets_are_met_does_not_matter(
    data: st.DataObject, sets: list[StoredSet], rotation: KeepLast
) -> None:
    shuffled = data.draw(st.permutations(sets))

    assert gone(shuffled, rotation) == gone(sets, rotation)


@pytest.mark.parametrize(
    ("numbers", "partial", "keep", "removed"),
    [
        ([1, 2, 3], (), 3, []),
        ([1, 2, 3, 4], (), 3, [1]),
        ([1, 2, 3, 4, 5, 6], (), 2, [1, 2, 3, 4]),
        ([9_998, 9_999, 10_000, 10_001], (), 3, [9_998]),
        ([999, 1_000, 10_000], (), 1, [999, 1_000]),
        ([1, 2, 3, 4], (2, 3, 4), 3, []),
        ([1, 2, 3, 4], (3, 4), 2, [1]),
        ([1, 2, 3], (1, 2, 3), 1, [1, 2]),
        ([], (), 1, []),
    ],
)
def test_the_table_of_rotation(
    numbers: list[int], partial: tuple[int, ...], keep: int, removed: list[int]
) -> None:
    sets = [stored(number, complete=number not in partial) for number in numbers]

    assert gone(sets, KeepLast(keep, erase_before=False)) == removed


@pytest.mark.parametrize(
    ("numbers", "partial", "keep", "removed"),
    [
        ([1, 2, 3], (), 3, [1]),
        ([1, 2], (), 3, []),
        ([1], (), 1, []),
        ([1, 2], (), 1, [1]),
        ([1, 2], (2,), 1, [2]),
        ([1, 2, 3], (1, 2, 3), 1, [1, 2, 3]),
    ],
)
def test_the_table_of_rotation_before_writing(
    numbers: list[int], partial: tuple[int, ...], keep: int, removed: list[int]
) -> None:
    sets = [stored(number, complete=number not in partial) for number in numbers]

    assert gone(sets, KeepLast(keep, erase_before=True), coming=True) == removed


def test_every_removal_says_why() -> None:
    plan = plan_rotation([stored(1), stored(2)], KeepLast(1, erase_before=False))

    assert [removal.reason for removal in plan] == [
        "more than the 1 newest sets that SetNumber keeps"
    ]


# --- number and room ------------------------------------------------------------------------------


@given(highest=st.integers(0, 20_000), known=st.integers(0, 20_000))
def test_the_number_is_above_everything_known(highest: int, known: int) -> None:
    plan = plan_backup(
        Inventory((), highest, ()),
        settings_of({}),
        known_number=known,
        content_bytes=0,
        free_bytes=1 << 40,
    )

    assert plan.number == max(highest, known) + 1


def room_for(content: int, free: int, *sets: StoredSet, erase_before: bool = False) -> int:
    settings = settings_of(
        {"Advanced/SetNumber/Value": "1", "Advanced/EraseOldBackupBefore": str(erase_before)}
    )
    inventory = Inventory(sets, len(sets), ())
    return plan_backup(
        inventory, settings, known_number=0, content_bytes=content, free_bytes=free
    ).needed_bytes


def test_without_a_set_the_size_of_the_sources_must_be_free_and_a_tenth_more() -> None:
    assert room_for(100 << 20, 112 << 20) >= 110 << 20
    with pytest.raises(NoRoomError, match="not enough room"):
        room_for(100 << 20, 109 << 20)


def test_with_a_set_its_ratio_is_believed() -> None:
    last = stored(1, content_bytes=100 << 20, archive_bytes=50 << 20)

    assert room_for(100 << 20, 60 << 20, last) < 60 << 20
    with pytest.raises(NoRoomError):
        room_for(100 << 20, 50 << 20, last)


def test_what_is_removed_before_counts_as_free() -> None:
    sets = [stored(at, content_bytes=100 << 20, archive_bytes=50 << 20) for at in (1, 2)]

    assert room_for(100 << 20, 10 << 20, *sets, erase_before=True)
    with pytest.raises(NoRoomError):
        room_for(100 << 20, 10 << 20, *sets)


# --- names ----------------------------------------------------------------------------------------


def test_names_have_four_digits_and_five_after_9999() -> None:
    assert set_name("data", 7) == "data[0007]"
    assert set_name("data", 9999) == "data[9999]"
    assert set_name("data", 10000) == "data[10000]"


def test_hidden_work_is_told_apart_by_database() -> None:
    one, two = database_tag(Path("/a/data.4DD")), database_tag(Path("/b/data.4DD"))
    name = staging_folder(Path("/dest"), "data", 7, one).name

    assert is_leftover(name, one)
    assert not is_leftover(name, two)
    assert not is_leftover("data[0007]", one)


@pytest.mark.parametrize(
    ("name", "belongs"),
    [
        ("data[0007].4BK", True),
        ("data[0006].4bl", True),
        ("data[0007-0001].4BK", True),
        ("backupHistory.json", True),
        (".backup4d-destination.lock", True),
        ("data.4DD", False),
        ("Data", False),
        ("letters[7]", False),
    ],
)
def test_what_belongs_to_a_destination_is_known_by_its_name(
    tmp_path: Path, name: str, belongs: bool
) -> None:
    assert belongs_to_destination(tmp_path, name) is belongs


def test_a_folder_named_like_a_set_is_one_only_with_a_manifest(tmp_path: Path) -> None:
    for name in ("data[0007]", "Invoices[2024]"):
        (tmp_path / name).mkdir()
    (tmp_path / "data[0007]" / "manifest.json").touch()

    assert belongs_to_destination(tmp_path, "data[0007]")
    assert not belongs_to_destination(tmp_path, "Invoices[2024]")


# --- the disk -------------------------------------------------------------------------------------


def run_days(app: App, days: int) -> None:
    for _ in range(days):
        app.backup()
        pass_a_day(app)


def test_the_newest_sets_stay(tmp_path: Path) -> None:
    app = make_app(tmp_path, {KEEP: "2"})

    run_days(app, 4)

    assert app.sets() == ["data[0003]", "data[0004]"]
    assert [record["backupNumber"] for record in app.records()] == [3, 4]
    assert all(verified(app.destination / name).good for name in app.sets())
    assert app.hidden() == []


def test_a_lowered_number_takes_effect_at_once(tmp_path: Path) -> None:
    app = make_app(tmp_path, {KEEP: "5"})
    run_days(app, 5)

    app.configure({KEEP: "2"})
    outcome = app.backup()

    assert app.sets() == ["data[0005]", "data[0006]"]
    assert outcome.removed == ("data[0001]", "data[0002]", "data[0003]", "data[0004]")


def test_with_rotation_off_all_stay(tmp_path: Path) -> None:
    app = make_app(tmp_path, {KEEP: "1", KEEP_ENABLED: "False"})

    run_days(app, 4)

    assert len(app.sets()) == 4


def test_partial_sets_never_push_the_last_complete_one_out(tmp_path: Path) -> None:
    app = make_app(tmp_path, {KEEP: "2"})
    run_days(app, 1)
    app.configure({KEEP: "2"}, attachments=("./gone.txt",))

    run_days(app, 4)

    assert app.sets() == ["data[0001]", "data[0004]", "data[0005]"]


def test_rotation_goes_on_past_9999(tmp_path: Path) -> None:
    app = make_app(tmp_path, {KEEP: "2"})
    run_days(app, 1)
    renumber(app, 9998)

    run_days(app, 3)

    assert app.sets() == ["data[10000]", "data[10001]"]


def test_room_is_made_before_writing_when_asked_for(tmp_path: Path) -> None:
    app = make_app(tmp_path, {KEEP: "2", ERASE_BEFORE: "True"})
    run_days(app, 3)
    seen: list[list[str]] = []

    app.backup(report=lambda _: seen.append(app.sets()))

    assert seen[-1] == ["data[0003]"]
    assert app.sets() == ["data[0003]", "data[0004]"]
    assert "Deleting old archive(s):\n\t" in app.journal()


def test_a_failed_run_removes_nothing_after_it(tmp_path: Path) -> None:
    app = make_app(tmp_path, {KEEP: "2"})
    run_days(app, 2)
    before = tree(app.destination / "data[0001]"), tree(app.destination / "data[0002]")
    app.data_file.unlink()

    with pytest.raises(EngineError):
        app.backup()

    after = tree(app.destination / "data[0001]"), tree(app.destination / "data[0002]")
    assert after == before


def test_a_failed_run_that_made_room_leaves_the_last_good_set(tmp_path: Path) -> None:
    app = make_app(tmp_path, {KEEP: "1", ERASE_BEFORE: "True"})
    run_days(app, 1)
    app.data_file.unlink()

    with pytest.raises(EngineError):
        app.backup()

    assert app.sets() == ["data[0001]"]


FOREIGN = (
    "data[0001].4BK",
    "data[0000].4BL",
    "notes[0002]/letter.txt",
    "data[0003]/something.txt",
    "data[abcd]/x",
    "copy of data[0001]/x",
)


def test_what_is_not_ours_is_never_touched(tmp_path: Path) -> None:
    app = make_app(tmp_path, {KEEP: "1"})
    for name in FOREIGN:
        file = app.destination / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"precious")
    run_days(app, 1)
    shutil.copytree(app.destination / "data[0004]", app.destination / "data[0001]")
    shutil.copytree(app.destination / "data[0004]", app.destination / "data[0004] kept")

    run_days(app, 3)

    for name in FOREIGN:
        assert (app.destination / name).read_bytes() == b"precious"
    assert verified(app.destination / "data[0001]").good
    assert verified(app.destination / "data[0004] kept").good
    assert (app.destination / "data[0007]").is_dir()
    assert not (app.destination / "data[0006]").exists()


def test_a_link_to_a_set_elsewhere_is_never_followed_to_delete(tmp_path: Path) -> None:
    app = make_app(tmp_path, {KEEP: "1"})
    run_days(app, 1)
    (app.destination / "data[0001]").rename(tmp_path / "moved away")
    (app.destination / "data[0001]").symlink_to(tmp_path / "moved away")

    run_days(app, 2)

    assert verified(tmp_path / "moved away").good
    assert (app.destination / "data[0001]").is_symlink()
    assert app.hidden() == []


def test_a_folder_that_looks_like_a_set_is_told(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    (app.destination / "data[0003]").mkdir()

    outcome = app.backup()

    assert outcome.folder == app.destination / "data[0004]"
    assert any("data[0003] is not counted as a set" in warning for warning in outcome.warnings)


@pytest.mark.parametrize("name", ["data[0007].4BK", "data[0007-0002].4BK", "DATA[0007].4bk"])
def test_the_number_of_4ds_own_archives_is_not_used_again(tmp_path: Path, name: str) -> None:
    app = make_app(tmp_path)
    (app.destination / name).write_bytes(b"4BK")

    assert app.backup_set().name == "data[0008]"


def test_a_lost_history_does_not_reset_the_number(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    run_days(app, 3)
    (app.destination / "backupHistory.json").unlink()

    assert app.backup_set().name == "data[0004]"
    assert [record["backupNumber"] for record in app.records()] == [2, 3, 4]


def test_lost_sets_do_not_reset_the_number(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    run_days(app, 3)
    for name in app.sets():
        shutil.rmtree(app.destination / name)

    assert app.backup_set().name == "data[0004]"


def test_an_emptied_destination_does_not_reset_the_number(tmp_path: Path) -> None:
    """What the last run remembered is beside the application, not in the destination."""
    app = make_app(tmp_path)
    run_days(app, 3)
    shutil.rmtree(app.destination)
    app.destination.mkdir()

    assert app.backup_set().name == "data[0004]"


def test_a_history_of_4d_gives_the_number(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    record = {"backupPath": "C:\\b\\data[0093].4BK", "backupNumber": 93}
    history = {app.layout.key: [record]}
    (app.destination / "backupHistory.json").write_text(json.dumps(history))

    assert app.backup_set().name == "data[0094]"


def test_two_databases_of_the_same_name_share_a_destination(tmp_path: Path) -> None:
    one = make_app(tmp_path / "one", {KEEP: "2"})
    two = make_app(tmp_path / "two")
    two = App(two.package, one.destination, two.clock).configure({KEEP: "2"})

    for _ in range(3):
        run_days(one, 1)
        run_days(two, 1)

    of_one = take_inventory(one.destination, "data", one.data_file).sets
    of_two = take_inventory(one.destination, "data", two.data_file).sets
    assert [s.number for s in of_one] == [3, 5]
    assert [s.number for s in of_two] == [4, 6]
    assert [record["backupNumber"] for record in one.records()] == [3, 5]
    assert [record["backupNumber"] for record in two.records()] == [4, 6]


def test_the_log_is_numbered_one_below_its_set(tmp_path: Path) -> None:
    app = make_app(tmp_path)

    run_days(app, 2)

    names = sorted(p.name for p in (app.destination / "data[0002]").iterdir())
    assert names == ["SHA256SUMS", "data[0001].journal.zst", "data[0002].tar.zst", "manifest.json"]


def test_sets_are_read_by_number_not_by_time(tmp_path: Path) -> None:
    app = make_app(tmp_path, {KEEP: "2"})
    run_days(app, 2)
    assert isinstance(app.clock, StoryClock)
    app.clock.pass_time(timedelta(days=-1000))

    run_days(app, 1)

    assert app.sets() == ["data[0002]", "data[0003]"]


def renumber(app: App, number: int) -> None:
    """Make set 1 the set with another number, as if so many had gone before."""
    old, new = app.destination / "data[0001]", app.destination / set_name("data", number)
    text = (old / "manifest.json").read_text().replace('"number": 1,', f'"number": {number},')
    (old / "manifest.json").write_text(text)
    old.rename(new)
