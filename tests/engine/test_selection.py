"""What a person wants back of a set, with what it needs; nothing that was asked for is silently not there."""

import os
from pathlib import Path

import pytest

from engine.errors import RestoreError
from engine.manifest import iterate_members
from engine.member import Role
from engine.selection import EVERYTHING, Selection, Wanted, choose_members
from tests.engine.stories import INDEX, make_app, patterned

DATA = frozenset({Role.DATA})
STRUCTURE = frozenset({Role.STRUCTURE})


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    app = make_app(tmp_path_factory.mktemp("app"), attachments=(INDEX, "./Extra/"))
    extra = app.package / "Extra"
    (extra / "a" / "b").mkdir(parents=True)
    (extra / "a" / "b" / "deep.txt").write_bytes(b"12345")
    (extra / "a" / "x.txt").write_bytes(b"123")
    (extra / "ab").write_bytes(b"1")
    (extra / "link").symlink_to("ab")
    (extra / "empty").touch()
    (extra / "X-last").mkdir()
    (extra / "X-last" / "X").write_bytes(b"4444")
    (extra / "[odd]").write_bytes(b"22")
    (extra / "holes").write_bytes(patterned(1 << 20))
    os.truncate(extra / "holes", 9 << 20)
    os.link(extra / "holes", extra / "zz twin")
    os.link(extra / "holes", extra / "zz twin 2")
    return app.backup_set()


def wanted(saved: Path, *patterns: str, roles: frozenset[Role] | None = None) -> Wanted:
    return choose_members(saved, Selection(patterns, roles))


def test_everything_is_everything(saved: Path) -> None:
    found = choose_members(saved, EVERYTHING)
    members = list(iterate_members(saved))

    assert found.paths == found.chosen == {member.path for member in members}
    assert found.archives == {"main", "log"}
    assert found.has_log
    assert EVERYTHING.is_everything
    assert not Selection(("a",)).is_everything
    assert not Selection(roles=DATA).is_everything


def test_a_file_brings_the_folders_above_it_not_chosen_themselves(saved: Path) -> None:
    found = wanted(saved, "Extra/a/b/deep.txt")

    assert found.chosen == {b"Extra/a/b/deep.txt"}
    assert found.paths == {b"Extra", b"Extra/a", b"Extra/a/b", b"Extra/a/b/deep.txt"}
    assert (found.files, found.content_bytes, found.archives) == (1, 5, {"main"})
    assert not found.has_log


@pytest.mark.parametrize("pattern", ["Extra/a", "Extra/a/", "/Extra/a/"])
def test_a_folder_is_all_that_is_below_it(saved: Path, pattern: str) -> None:
    found = wanted(saved, pattern)

    assert found.chosen == {b"Extra/a", b"Extra/a/b", b"Extra/a/b/deep.txt", b"Extra/a/x.txt"}
    assert (found.files, found.content_bytes) == (2, 8)


def test_a_star_goes_across_folders(saved: Path) -> None:
    assert wanted(saved, "Extra/*.txt").chosen == {b"Extra/a/b/deep.txt", b"Extra/a/x.txt"}
    assert wanted(saved, "*.txt").chosen == {b"Extra/a/b/deep.txt", b"Extra/a/x.txt"}
    assert wanted(saved, "Extra/a?").chosen == {b"Extra/ab"}
    assert wanted(saved, "Extra/[[]odd]").chosen == {b"Extra/[odd]"}


def test_a_hard_link_that_names_no_file_brings_no_content(saved: Path, tmp_path: Path) -> None:
    # never written so; a manifest that somebody made up
    text = (saved / "manifest.json").read_text()
    assert text.count('"link":"Extra/holes"') == 2
    (tmp_path / "manifest.json").write_text(
        text.replace('"link":"Extra/holes"', '"link":"Extra/a"')
    )

    found = wanted(tmp_path, "Extra/zz twin")

    assert found.chosen == {b"Extra/zz twin"}
    assert found.paths == {b"Extra", b"Extra/zz twin", b"Extra/a"}
    assert (found.files, found.content_bytes, found.archives) == (0, 0, set())


def test_an_empty_file_needs_no_archive(saved: Path) -> None:
    found = wanted(saved, "Extra/empty")

    assert (found.files, found.content_bytes, found.archives) == (1, 0, set())


def test_the_slashes_at_the_ends_of_a_wish_do_not_count_but_its_letters_do(saved: Path) -> None:
    assert wanted(saved, "/Extra/X-last/X").chosen == {b"Extra/X-last/X"}


def test_several_wishes_are_all_fulfilled(saved: Path) -> None:
    found = wanted(saved, "Extra/ab", "Data/data.4DD")

    assert found.chosen == {b"Extra/ab", b"Data/data.4DD"}
    assert found.paths == {b"Extra", b"Extra/ab", b"Data", b"Data/data.4DD"}
    assert found.content_bytes == 1 + 3000


def test_a_hard_link_brings_the_file_that_it_is(saved: Path) -> None:
    found = wanted(saved, "Extra/zz twin")

    assert found.chosen == {b"Extra/zz twin"}
    assert found.paths == {b"Extra", b"Extra/zz twin", b"Extra/holes"}
    assert found.files == 1
    assert 1 << 20 <= found.content_bytes < 9 << 20  # holes are not stored
    assert found.archives == {"main"}


def test_a_file_that_is_chosen_with_its_links_counts_once(saved: Path) -> None:
    found = wanted(saved, "Extra/zz twin", "Extra/zz twin 2", "Extra/holes")

    assert found.files == 1


def test_a_link_needs_no_content(saved: Path) -> None:
    found = wanted(saved, "Extra/link")

    assert (found.files, found.content_bytes, found.archives) == (0, 0, set())


def test_the_log_alone_needs_the_archive_of_the_log_alone(saved: Path) -> None:
    found = wanted(saved, "Data/data.journal")

    assert (found.archives, found.has_log, found.content_bytes) == ({"log"}, True, 900)


def test_the_data_is_data_file_settings_and_index(saved: Path) -> None:
    found = wanted(saved, roles=DATA)

    assert {b"Data/data.4DD", b"Data/data.4DIndx", b"Data/Settings/directory.json"} <= found.chosen
    assert not any(path.startswith((b"Project", b"Extra")) for path in found.paths)
    assert not found.has_log


def test_the_structure_is_project_and_settings(saved: Path) -> None:
    found = wanted(saved, roles=STRUCTURE)

    assert b"Project/App.4DProject" in found.chosen
    assert not any(path.startswith((b"Data", b"Extra")) for path in found.paths)


def test_a_wish_and_a_part_both_count(saved: Path) -> None:
    assert wanted(saved, "Data/*", roles=DATA | STRUCTURE).chosen >= {b"Data/data.4DD"}
    with pytest.raises(RestoreError, match=r"nothing in the set is 'Extra/ab'"):
        wanted(saved, "Extra/ab", roles=DATA)


def test_a_wish_that_nothing_fulfils_is_refused_though_others_are_fulfilled(saved: Path) -> None:
    with pytest.raises(RestoreError, match=r"nothing in the set is 'nope', 'x/\*'") as caught:
        wanted(saved, "x/*", "Extra/ab", "nope")

    assert str(caught.value) == "nothing in the set is 'nope', 'x/*'; nothing was written"
    assert caught.value.hint == (
        "`backup4d show` lists the paths of a set as they are written here"
    )


def test_a_part_that_is_not_there_is_refused(saved: Path) -> None:
    with pytest.raises(RestoreError, match="nothing in the set is what was asked for"):
        wanted(saved, roles=frozenset())
