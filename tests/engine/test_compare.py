"""What is said to differ is what differs: between two sets, and between a set and the live files; judged by others."""

import os
import random
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.compare import (
    Comparison,
    Difference,
    Source,
    compare_members,
    in_tree_order,
    without_unknown,
)
from engine.livefiles import LiveFiles
from engine.manifest import iterate_members, read_set_facts
from engine.member import Attributes, Kind, Member, Role
from engine.progress import silent
from engine.treeview import tree_of
from tests.engine.oddities import make_oddities
from tests.engine.stories import App, make_app, patterned, restored, tree

ODD = ("./Data/data.4DIndx", "./Odd")
Told = dict[bytes, str]


def file(path: bytes, content: str = "a", *, size: int = 1, mtime_ns: int = 0) -> Member:
    attributes = Attributes(0o644, 0, 0, mtime_ns)
    return Member(path, Kind.FILE, Role.DATA, size, attributes, 0, 0, digest=content)


def other(path: bytes, kind: Kind, link: bytes | None = None) -> Member:
    return Member(path, kind, Role.DATA, 0, Attributes(0o755, 0, 0, 0), 0, 0, link=link)


def told(comparison: Comparison) -> Told:
    return {change.path: change.difference.value for change in comparison.changes}


def compared(before: Iterable[Member], after: Iterable[Member]) -> Told:
    olds, news = tuple(before), tuple(after)
    return told(compare_members(lambda: olds, lambda: news))


def stored_in(folder: Path) -> Source:
    return lambda: iterate_members(folder)


def compared_live(folder: Path, *, every_content: bool = False) -> tuple[Told, LiveFiles]:
    facts = read_set_facts(folder)
    live = LiveFiles(facts, folder.parent, silent, every_content=every_content)
    found = compare_members(stored_in(folder), live.members, live.same_content)
    return told(without_unknown(found, (path for path, _ in live.unknown))), live


def judged(before: dict[bytes, tuple[Any, ...]], after: dict[bytes, tuple[Any, ...]]) -> Told:
    """The same from two trees as the file system shows them; hard links are files."""
    result: Told = {}
    for path in before.keys() | after.keys():
        old, new = before.get(path), after.get(path)
        if old is None or new is None:
            result[path] = "added" if old is None else "removed"
            continue
        old, new = (
            facts[: facts.index("linked to")] if "linked to" in facts else facts
            for facts in (old, new)
        )
        if stat.S_IFMT(int(old[0], 8)) != stat.S_IFMT(int(new[0], 8)):
            result[path] = "type"
        elif old[4:] != new[4:]:
            result[path] = "content"
        elif old != new:
            result[path] = "attributes"
    return result


def saved_tree(app: App) -> dict[bytes, tuple[Any, ...]]:
    """What a set of the application holds: all but the Logs folder."""
    return {p: f for p, f in tree(app.package).items() if not p.startswith(b"Logs")}


# --- values ---------------------------------------------------------------------------------------


def test_each_kind_of_difference_is_told_from_the_others() -> None:
    before = [file(b"same"), file(b"gone"), file(b"edited"), file(b"touched"), file(b"turned")]
    after = [
        *(file(b"same"), file(b"new"), file(b"edited", "b"), file(b"touched", mtime_ns=1)),
        other(b"turned", Kind.FOLDER),
    ]

    assert compared(before, after) == {
        b"gone": "removed",
        b"new": "added",
        b"edited": "content",
        b"touched": "attributes",
        b"turned": "type",
    }


def test_changes_come_in_the_order_of_a_tree() -> None:
    names = [b"a", b"a/b", b"a/b/c", b"a b", b"a-", b"b"]
    shuffled = random.Random(1).sample(names, len(names))

    assert list(compared([], [file(name) for name in shuffled])) == names


def test_the_order_of_the_members_does_not_matter() -> None:
    members = [file(b"%d" % at) for at in range(50)]

    assert compared(members, members[::-1]) == {}


def test_another_target_of_a_link_is_another_content() -> None:
    one, two = (other(b"link", Kind.SYMLINK, target) for target in (b"a", b"b"))

    assert compared([one], [two]) == {b"link": "content"}


def test_a_hard_link_is_compared_as_the_file_it_is() -> None:
    linked = [file(b"a", "x", size=3), other(b"b", Kind.HARDLINK, b"a")]
    mode = linked[1].attributes
    copied = [file(b"a", "x", size=3), replace(file(b"b", "x", size=3), attributes=mode)]
    first_name_gone = [replace(file(b"b", "x", size=3), attributes=mode)]
    edited = [file(b"a", "y", size=3), other(b"b", Kind.HARDLINK, b"a")]

    assert compared(linked, copied) == {}
    assert compared(linked, first_name_gone) == {b"a": "removed"}
    assert compared(linked, edited) == {b"a": "content", b"b": "content"}


def test_a_folder_that_comes_twice_is_one_folder() -> None:
    folder = other(b"Data", Kind.FOLDER)

    assert compared([folder, file(b"Data/a"), folder], [folder, file(b"Data/a")]) == {}


def test_nothing_is_called_removed_where_nobody_could_look() -> None:
    before = [file(b"closed"), file(b"closed/in"), file(b"closed-not"), file(b"gone")]
    comparison = compare_members(lambda: before, tuple)

    assert told(without_unknown(comparison, [b"closed"])) == {
        b"closed-not": "removed",
        b"gone": "removed",
    }
    assert told(without_unknown(comparison, [b"."])) == {}


def test_only_attributes_are_no_difference() -> None:
    before, after = [file(b"a")], [file(b"a", mtime_ns=5)]
    comparison = compare_members(lambda: before, lambda: after)

    assert not comparison.differs
    assert comparison.count(Difference.ATTRIBUTES) == 1


# --- the tree -------------------------------------------------------------------------------------


def test_a_folder_has_the_sum_of_all_below_it() -> None:
    members = [
        *(file(b"a/b/two", size=2), file(b"a/three", size=3), other(b"a", Kind.FOLDER)),
        *(other(b"a/link", Kind.SYMLINK, b"three"), other(b"empty", Kind.FOLDER)),
    ]

    rows = [(row.depth, row.name, row.size, row.files) for row in tree_of(members)]

    assert rows == [
        (0, b"a", 5, 2),
        (1, b"b", 2, 1),
        (2, b"two", 2, 0),
        (1, b"link", 0, 0),
        (1, b"three", 3, 0),
        (0, b"empty", 0, 0),
    ]


def test_a_role_is_marked_where_it_begins() -> None:
    log = replace(file(b"Data/log"), role=Role.LOG)

    roles = {row.name: row.role for row in tree_of([file(b"Data/x/y"), log, file(b"only/one")])}

    assert roles == {
        b"Data": None,
        b"x": Role.DATA,
        b"y": None,
        b"log": Role.LOG,
        b"only": Role.DATA,
        b"one": None,
    }


# --- real sets and files, judged by the file system -----------------------------------------------


@pytest.fixture
def app(tmp_path: Path) -> App:
    made = make_app(tmp_path, attachments=ODD)
    make_oddities(made.package / "Odd")
    return made


def test_right_after_a_backup_nothing_differs(app: App) -> None:
    folder = app.backup_set()

    for every_content in (False, True):
        assert compared_live(folder, every_content=every_content)[0] == {}
    assert told(compare_members(stored_in(folder), stored_in(app.backup_set()))) == {}


def turn_to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "in").write_bytes(b"file to folder")


def turn_to_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("file to link")


def edit_at_random(odd: Path, chance: random.Random) -> None:
    """One thing that may happen to a file, folder or link."""
    top = os.fsencode(odd)
    paths = sorted(os.path.join(here, n) for here, ds, fs in os.walk(top) for n in (*ds, *fs))  # noqa: PTH118 - bytes
    path = Path(os.fsdecode(chance.choice(paths)))
    edits: list[Callable[[], object]] = [
        lambda: shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(),
        lambda: (path.parent / f"new {chance.random()}").write_bytes(patterned(100)),
        (path.parent / f"folder {chance.random()}").mkdir,
        lambda: (path.parent / f"link {chance.random()}").symlink_to("anywhere"),
        lambda: path.rename(path.parent / f"renamed {chance.random()}"),
        lambda: os.utime(path, ns=(chance.randrange(10**18),) * 2, follow_symlinks=False),
    ]
    if path.is_file() and not path.is_symlink():
        edits += [
            lambda: path.write_bytes(patterned(chance.randrange(2000), seed=chance.randrange(99))),
            lambda: path.chmod(chance.choice((0o600, 0o640, 0o444))),
            lambda: turn_to_folder(path),
            lambda: turn_to_link(path),
            lambda: (path.parent / f"hard {chance.random()}").hardlink_to(path),
        ]
    chance.choice(edits)()


@pytest.mark.parametrize("seed", range(6))
def test_what_is_told_of_odd_files_is_what_the_file_system_shows(app: App, seed: int) -> None:
    first, before = app.backup_set(), saved_tree(app)
    chance = random.Random(seed)
    for _ in range(40):
        edit_at_random(app.package / "Odd", chance)
    app.data_file.write_bytes(patterned(4000, seed=seed))
    app.log.write_bytes(patterned(1800))

    expected = judged(before, saved_tree(app))

    assert len(set(expected.values())) >= 4
    live, files = compared_live(first, every_content=True)
    assert live == expected
    assert files.unknown == []
    assert compared_live(first)[0] == expected  # every edit left another size or time
    assert told(compare_members(stored_in(first), stored_in(app.backup_set()))) == expected


def test_diff_of_two_restored_trees_finds_as_many_files(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    first = app.backup_set()
    app.data_file.write_bytes(patterned(3000, seed=5))
    (app.package / "Project" / "Sources" / "Methods" / "hello.4dm").unlink()
    (app.package / "Project" / "new").write_bytes(b"new")
    second = app.backup_set()
    restored(first, tmp_path / "one")
    restored(second, tmp_path / "two")

    done = subprocess.run(
        ["diff", "-rq", "--no-dereference", "one", "two"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=60,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )

    comparison = compare_members(stored_in(first), stored_in(second))
    assert done.returncode == 1
    assert sorted(done.stdout.splitlines()) == [
        "Files one/Data/data.4DD and two/Data/data.4DD differ",
        "Only in one/Project/Sources/Methods: hello.4dm",
        "Only in two/Project: new",
    ]
    assert {p: w for p, w in told(comparison).items() if w != "attributes"} == {
        b"Data/data.4DD": "content",
        b"Project/Sources/Methods/hello.4dm": "removed",
        b"Project/new": "added",
    }


def test_equal_size_and_time_count_as_equal_unless_the_content_is_asked_for(app: App) -> None:
    folder = app.backup_set()
    facts = app.data_file.stat()
    app.data_file.write_bytes(patterned(facts.st_size, seed=9))
    os.utime(app.data_file, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    assert compared_live(folder)[0] == {}
    assert compared_live(folder, every_content=True)[0] == {b"Data/data.4DD": "content"}


def test_a_file_written_again_with_the_same_content_differs_in_time_only(app: App) -> None:
    folder = app.backup_set()
    app.data_file.write_bytes(app.data_file.read_bytes())
    os.utime(app.data_file, ns=(1, 1))

    assert compared_live(folder)[0] == {b"Data/data.4DD": "attributes"}


def test_a_root_that_is_gone_is_removed_and_its_folder_is_not(tmp_path: Path) -> None:
    letters = tmp_path / "letters"
    letters.mkdir()
    (letters / "a.txt").write_bytes(b"Dear")
    app = make_app(tmp_path, attachments=(str(letters / "a.txt"),))
    folder = app.backup_set()
    (letters / "a.txt").unlink()

    changes, _ = compared_live(folder)

    inside = b"External" + os.fsencode(letters)
    # the folders above are the machine's: anybody may change them meanwhile
    ours = {path: change for path, change in changes.items() if path.startswith(inside)}
    assert ours == {inside: "attributes", inside + b"/a.txt": "removed"}


def test_what_was_missing_then_and_is_there_now_is_added(app: App) -> None:
    app.configure(attachments=(*ODD, "./Odd/later", "./Letters"))
    folder = app.backup_set()
    (app.package / "Letters").mkdir()
    (app.package / "Letters" / "a.txt").write_bytes(b"Dear")

    changes, _ = compared_live(folder)

    assert changes == {b"Letters": "added", b"Letters/a.txt": "added"}


def test_a_new_log_is_added_and_a_lost_one_removed(app: App) -> None:
    with_log = app.backup_set()
    app.log.unlink()
    assert compared_live(with_log)[0].get(b"Data/data.journal") == "removed"

    without_log = app.backup_set()
    app.log.write_bytes(b"log")
    assert compared_live(without_log)[0].get(b"Data/data.journal") == "added"


def test_sets_inside_the_application_are_no_new_files(tmp_path: Path) -> None:
    app = make_app(tmp_path, attachments=("./",))
    inside = app.package / "Backups"
    inside.mkdir()
    App(app.package, inside, app.clock).configure(attachments=("./",))
    folder = App(app.package, inside, app.clock).backup_set()

    changes, _ = compared_live(folder)

    assert {path for path in changes if b"[0001]" in path or b"istory" in path} == set()


def test_a_path_longer_than_the_system_takes_is_compared(tmp_path: Path) -> None:
    app = make_app(tmp_path, attachments=("./Deep",))
    top = app.package / "Deep"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(22):
        os.mkdir("d" * 200, dir_fd=here)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    for content in (b"one", b"two"):
        with os.fdopen(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here), "wb") as stream:
            stream.write(content)
        if content == b"one":
            folder = app.backup_set()
            os.utime("file", ns=(5, 5), dir_fd=here)
            assert list(compared_live(folder)[0].values()) == ["attributes"]
    os.close(here)

    changes, live = compared_live(app.destination / "data[0001]")

    assert live.unknown == []
    assert [(path[-4:], what) for path, what in changes.items()] == [(b"file", "content")]


def test_the_key_of_the_order_keeps_paths_apart() -> None:
    assert sorted([b"a-b", b"a/b", b"a"], key=in_tree_order) == [b"a", b"a/b", b"a-b"]
