"""The names in a destination, what an inventory says of each folder, and how a set appears and goes."""

import errno
import hashlib
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from engine.manifest import read_set_facts
from engine.sets import (
    HIGHEST_NUMBER,
    Inventory,
    Removal,
    StoredSet,
    belongs_to_destination,
    database_tag,
    is_leftover,
    number_in,
    plan_rotation,
    remove_set,
    set_name,
    show_set,
    staging_folder,
    take_inventory,
)
from settings.model import KeepLast
from tests.engine.stories import App, make_app, stored

# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [b"/a/data.4DD", b"/a/caf\xe9.4DD"])
def test_the_tag_of_a_database_comes_from_the_bytes_of_its_path(path: bytes) -> None:
    assert database_tag(Path(os.fsdecode(path))) == hashlib.sha256(path).hexdigest()[:8]


def test_a_set_is_written_in_a_hidden_folder_of_its_database() -> None:
    folder = staging_folder(Path("/dest"), "data", 12, "0123abcd")

    assert folder == Path("/dest/.backup4d-staging-0123abcd-data[0012]")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (".backup4d-staging-0123abcd-data[0012]", True),
        (".backup4d-removing-0123abcd-data[0012]", True),
        (".backup4d-staging-0123abcd", False),
        (".backup4d-staging-0123abcdef-data[0012]", False),
        (".backup4d-removing-89abcdef-data[0012]", False),
        (".backup4d-destination.lock", False),
        ("0123abcd-data[0012]", False),
    ],
)
def test_what_is_left_over_has_the_tag_of_its_database(name: str, expected: bool) -> None:
    assert is_leftover(name, "0123abcd") is expected


@pytest.mark.parametrize(
    ("name", "base", "number"),
    [
        ("data[0007]", "data", 7),
        ("data[0007].4BK", "data", 7),
        ("data[0007-0002].4BK", "data", 7),
        ("DATA[0007].4bk", "data", 7),
        (".backup4d-staging-0123abcd-data[0012]", "data", 12),
        (".backup4d-staging-0123abcd.89abcdef-data[0012]", "data", 12),
        ("data[9999999]", "data", HIGHEST_NUMBER),
        ("data[10000000]", "data", 0),
        ("data[007]", "data", 0),
        ("data[0007].4BL", "data", 0),
        ("data[0007] kept", "data", 0),
        ("copy of data[0007]", "data", 0),
        ("data2[0007]", "data", 0),
        (".backup4d-staging-0123-data[0012]", "data", 0),
        ("a.b (1)[0003]", "a.b (1)", 3),
        ("axb (1)[0003]", "a.b (1)", 0),
    ],
)
def test_the_number_that_an_entry_occupies(name: str, base: str, number: int) -> None:
    assert number_in(name, base) == number


@pytest.mark.parametrize(
    "name",
    [
        ".backup4d",
        ".backup4d-staging-0123abcd-data[0001]",
        ".backupHistory.json.0a.part",
        "backupHistory.json.damaged",
        "two\nlines[0001].4BK",
    ],
)
def test_work_of_ours_is_no_content(tmp_path: Path, name: str) -> None:
    assert belongs_to_destination(tmp_path, name) is True


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"# backup4d restore.py, version 3\n", True), (b"print('mine')\n", False), (None, False)],
)
def test_only_our_restorer_is_no_content(
    tmp_path: Path, content: bytes | None, expected: bool
) -> None:
    if content is not None:
        (tmp_path / "restore.py").write_bytes(content)

    assert belongs_to_destination(tmp_path, "restore.py") is expected


def test_only_the_first_and_last_places_of_a_name_tell(tmp_path: Path) -> None:
    (tmp_path / "my data[0007] kept").mkdir()
    (tmp_path / "my data[0007] kept" / "manifest.json").touch()

    for name in ("my data[0007] kept", "restore.pyc", "my backupHistory.json", "[0007]"):
        assert belongs_to_destination(tmp_path, name) is False


# --- rotation -------------------------------------------------------------------------------------


def test_the_newest_checked_set_stays_beside_the_newest_complete_one() -> None:
    sets = [
        *(stored(1), stored(2), stored(3, checked=False), stored(4, complete=False)),
        *(stored(5, checked=False, complete=False), stored(6, complete=False, checked=False)),
    ]
    plan = plan_rotation(reversed(sets), KeepLast(1, erase_before=False))

    reason = "more than the 1 newest sets that SetNumber keeps"
    assert plan == tuple(Removal(sets[at], reason) for at in (0, 3, 4))


@pytest.mark.parametrize(("coming", "gone"), [(False, []), (True, [1])])
def test_before_writing_one_place_is_kept_free_where_it_is_asked_for(
    coming: bool, gone: list[int]
) -> None:
    plan = plan_rotation([stored(1), stored(2)], KeepLast(2, erase_before=True), coming=coming)

    assert [removal.stored.number for removal in plan] == gone
    assert not plan_rotation([stored(1), stored(2)], KeepLast(2, erase_before=True))


# --- the inventory --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> App:
    app = make_app(tmp_path_factory.mktemp("made"))
    app.backup_set()
    return app


@pytest.fixture
def app(made: App, tmp_path: Path) -> App:
    """An application with one set, in a destination of the test's own."""
    shutil.copytree(made.destination, tmp_path / "backups")
    return App(made.package, tmp_path / "backups", made.clock)


def inventory(app: App) -> Inventory:
    return take_inventory(app.destination, "data", app.data_file)


def copied(app: App, number: int, *edits: tuple[str, str], sealed: bool = True) -> Path:
    """Set 1 under another name, its manifest edited; `sealed`: its checksum goes with it."""
    folder = app.destination / set_name("data", number)
    shutil.copytree(app.destination / "data[0001]", folder)
    manifest, sums = folder / "manifest.json", folder / "SHA256SUMS"
    before = after = manifest.read_text()
    for old, new in edits:
        assert old in after
        after = after.replace(old, new)
    manifest.write_text(after)
    if sealed:
        old, new = (hashlib.sha256(text.encode()).hexdigest() for text in (before, after))
        assert old in sums.read_text()
        sums.write_text(sums.read_text().replace(old, new))
    return folder


def numbered(number: int) -> tuple[str, str]:
    return '"number": 1,', f'"number": {number},'


def test_sets_are_listed_by_number_and_the_highest_is_known(app: App) -> None:
    for number in (12, 3, 10_000, 7):
        copied(app, number, numbered(number))

    found = inventory(app)

    names = [one.folder.name for one in found.sets]
    assert names == ["data[0001]", "data[0003]", "data[0007]", "data[0012]", "data[10000]"]
    assert [one.number for one in found.sets] == [1, 3, 7, 12, 10_000]
    assert (found.highest, found.unreadable) == (10_000, ())
    assert found.sets[0] == StoredSet(
        app.destination / "data[0001]", read_set_facts(app.destination / "data[0001]")
    )


def test_an_empty_destination_holds_nothing(tmp_path: Path) -> None:
    assert take_inventory(tmp_path, "data", Path("/a/data.4DD")) == Inventory((), 0, ())


def test_a_set_with_a_number_nobody_gave_counts_once_its_manifest_says_so(app: App) -> None:
    copied(app, 10_000_000, numbered(10_000_000))

    assert inventory(app).highest == 10_000_000


def test_what_is_no_set_of_this_database_keeps_its_number(app: App) -> None:
    copied(app, 4, ("/data.4DD", "/other.4DD"), numbered(4))

    found = inventory(app)

    assert [one.number for one in found.sets] == [1]
    assert (found.highest, found.unreadable) == (4, ())


def test_a_set_of_another_base_name_is_not_looked_into(app: App) -> None:
    (app.destination / "letters[0009]").mkdir()
    (app.destination / "data[0009] kept").mkdir()

    found = inventory(app)

    assert (len(found.sets), found.highest, found.unreadable) == (1, 1, ())


def test_a_set_that_is_being_written_is_none_but_has_its_number(app: App) -> None:
    staging_folder(app.destination, "data", 7, "0123abcd").mkdir()

    found = inventory(app)

    assert (len(found.sets), found.highest, found.unreadable) == (1, 7, ())


def test_the_sets_of_a_data_file_with_a_hidden_name_are_sets_like_any_other(app: App) -> None:
    (app.destination / "data[0001]").rename(app.destination / ".data[0001]")

    found = take_inventory(app.destination, ".data", app.data_file)

    assert [one.folder.name for one in found.sets] == [".data[0001]"]
    assert (found.highest, found.unreadable) == (1, ())


def test_folders_that_cannot_be_used_are_named_with_the_reason(app: App) -> None:
    there = app.destination
    (there / "data[0009]").symlink_to("data[0001]")
    copied(app, 8, numbered(6), sealed=False)
    copied(app, 5)
    (there / "data[0002]").mkdir()

    found = inventory(app)

    assert [one.number for one in found.sets] == [1]
    assert found.highest == 9
    assert found.unreadable == (
        (
            "data[0002]",
            f"{there}/data[0002]/manifest.json cannot be opened: No such file or directory",
        ),
        (
            "data[0005]",
            f"{there}/data[0005]/manifest.json is that of set 1: the folder was renamed",
        ),
        (
            "data[0008]",
            (
                f"{there}/data[0008]/manifest.json is damaged: "
                "it does not have the checksum that SHA256SUMS says"
            ),
        ),
        ("data[0009]", "it is a link; a set that was moved is not ours to remove"),
    )


def test_a_set_whose_path_was_damaged_is_not_taken_for_that_of_another_database(app: App) -> None:
    copied(app, 4, ("/data.4DD", "/dbta.4DD"), numbered(4), sealed=False)

    assert [name for name, _ in inventory(app).unreadable] == ["data[0004]"]


# --- appearing and going --------------------------------------------------------------------------


@contextmanager
def no_more_files() -> Iterator[None]:
    """Nothing can be opened; renaming goes on."""
    kept = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, kept[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, kept)


def test_a_finished_set_appears_with_all_it_holds(tmp_path: Path) -> None:
    staging, folder = tmp_path / ".staging", tmp_path / "data[0001]"
    staging.mkdir()
    (staging / "file").write_bytes(b"content")

    show_set(staging, folder)

    assert [entry.name for entry in tmp_path.iterdir()] == ["data[0001]"]
    assert (folder / "file").read_bytes() == b"content"


def test_a_set_that_may_not_last_is_hidden_again(tmp_path: Path) -> None:
    staging, folder = tmp_path / ".staging", tmp_path / "data[0001]"
    staging.mkdir()

    with no_more_files(), pytest.raises(OSError, match="open files"):
        show_set(staging, folder)

    assert [entry.name for entry in tmp_path.iterdir()] == [".staging"]


def planned(app: App) -> Removal:
    return Removal(inventory(app).sets[0], "it is so")


def test_a_removed_set_leaves_nothing(app: App) -> None:
    removal = planned(app)

    remove_set(removal, app.destination)

    assert app.sets() == app.hidden() == []


def test_a_set_that_is_being_removed_has_a_hidden_name_of_its_database(app: App) -> None:
    # that name is there already, so that the rename is refused
    hidden = app.destination / f".backup4d-removing-{database_tag(app.data_file)}-data[0001]"
    hidden.mkdir()
    (hidden / "left").touch()

    with pytest.raises(OSError, match="not empty"):
        remove_set(planned(app), app.destination)

    assert (app.destination / "data[0001]" / "manifest.json").exists()
    assert (hidden / "left").exists()


def test_what_has_taken_the_place_of_a_set_is_not_removed(app: App, tmp_path: Path) -> None:
    removal = planned(app)
    other = replace(removal.stored, facts=replace(removal.stored.facts, members=99))
    there = app.destination / "data[0001]"

    with pytest.raises(OSError, match="another one has taken its place") as error:
        remove_set(Removal(other, "it is so"), app.destination)
    assert (error.value.errno, error.value.strerror) == (
        errno.ESTALE,
        "another one has taken its place",
    )
    there.rename(tmp_path / "elsewhere")
    there.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="another one has taken its place"):
        remove_set(removal, app.destination)

    assert (tmp_path / "elsewhere" / "manifest.json").exists()


def test_a_set_is_removed_from_the_folder_that_is_held(app: App, tmp_path: Path) -> None:
    removal = planned(app)
    held = tmp_path / "held"
    shutil.copytree(app.destination, held)

    remove_set(removal, held)

    assert not (held / "data[0001]").exists()
    assert (app.destination / "data[0001]").exists()
