"""The commands 4bk: what they print, their exit codes, and that archives are never written to."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from engine.fourd.extract import REPORT
from tests.commands.terminal import Terminal
from tests.engine.fourd_stories import DATA, FILES, archive, blocks, flipped
from tests.scheduler.real import PROGRAM, environment

GOOD = archive()
BLOCKS = blocks(GOOD)
AT, STORED = BLOCKS[2]
BAD = flipped(GOOD, AT + 48 + STORED // 2)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return written(tmp_path / "data[0007].4BK", GOOD)


def written(file: Path, data: bytes) -> Path:
    file.write_bytes(data)
    file.chmod(0o400)
    return file


def test_list_names_every_file_with_size_and_role(terminal: Terminal, good: Path) -> None:
    printed = terminal.types("4bk", "list", good)

    assert printed.code == 0
    assert "150,000  data        Data/data.4DD" in printed.out
    assert "5 files" in printed.out


def test_list_as_json_holds_what_4d_says(terminal: Terminal, good: Path) -> None:
    (row,) = terminal.types("4bk", "list", "--json", good).json

    assert row["file"] == str(good)
    assert row["files"][0] == {
        "path": "Data/data.4DD",
        "size": 150_000,
        "role": "data",
        "tag": "DataFile",
    }


def test_verify_says_whole_only_of_what_is(terminal: Terminal, good: Path, tmp_path: Path) -> None:
    bad = written(tmp_path / "bad.4BK", BAD)

    fine, quick, damaged = (
        terminal.types("4bk", "verify", good),
        terminal.types("4bk", "verify", "--quick", good),
        terminal.types("4bk", "verify", bad),
    )

    assert (fine.code, quick.code, damaged.code) == (0, 0, 5)
    assert "whole, 5 files in 7 blocks, every byte compared" in fine.out
    assert f"block 2, bytes {AT} to {AT + 48 + STORED} of the archive" in damaged.out
    assert "lost: Data/data.4DD, bytes 6" in damaged.out
    assert terminal.types("4bk", "verify", "--quick", bad).code == 5


def test_several_archives_are_looked_at_whatever_the_first_is(
    terminal: Terminal, good: Path, tmp_path: Path
) -> None:
    other = written(tmp_path / "other.4BK", b"no archive")

    printed = terminal.types("4bk", "verify", other, tmp_path / "absent.4BK", good)

    assert printed.code == 5  # something is missing
    assert "it is no archive of 4D (.4BK, .4BL): it does not begin as one" in printed.err
    assert f"{good}: whole" in printed.out


def test_verify_as_json_names_the_place_and_the_cost(terminal: Terminal, tmp_path: Path) -> None:
    bad = written(tmp_path / "bad.4BK", BAD)

    printed = terminal.types("4bk", "verify", "--json", bad)

    (row,) = printed.json
    assert printed.code == 5
    assert row["whole"] is False
    (trouble,) = row["troubles"]
    assert (trouble["start"], trouble["cost"]) == (AT, "lost")
    assert trouble["parts"][0]["path"] == "Data/data.4DD"


def test_extract_makes_the_folder_and_leaves_the_archive_alone(
    terminal: Terminal, good: Path, tmp_path: Path
) -> None:
    before = good.stat()

    printed = terminal.types("4bk", "extract", good, "--to", tmp_path / "new")

    after = good.stat()
    assert printed.code == 0
    assert (tmp_path / "new/Data/data.4DD").read_bytes() == FILES[DATA]
    assert (before.st_mtime_ns, before.st_ctime_ns, before.st_size) == (
        after.st_mtime_ns,
        after.st_ctime_ns,
        after.st_size,
    )
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "data[0007].4BK",
        "new",
        "service.xml",
    ]


def test_extract_of_a_damaged_archive_says_what_is_lost(terminal: Terminal, tmp_path: Path) -> None:
    bad = written(tmp_path / "bad.4BK", BAD)

    printed = terminal.types("4bk", "extract", bad, "--to", tmp_path / "new")

    assert printed.code == 5
    assert "4 whole, 1 incomplete, 0 unproved, 0 not made" in printed.out
    assert (tmp_path / "new/Data/data.4DD.incomplete").exists()
    assert not (tmp_path / "new/Data/data.4DD").exists()
    assert (tmp_path / "new" / REPORT).exists()


def test_extract_as_json_tells_the_fate_of_each_file(
    terminal: Terminal, good: Path, tmp_path: Path
) -> None:
    printed = terminal.types("4bk", "extract", "--json", good, "--to", tmp_path / "new")

    assert [one["fate"] for one in printed.json["files"]] == ["whole"] * 5
    assert printed.json["files"][4]["place"] == "Ümläut/ファイル.4dm"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--stdout",),
        ("--stdout", "--only", "a", "--only", "b"),
        ("--stdout", "--only", "a", "--json"),
        ("--stdout", "--only", "a", "--to", "x"),
    ],
)
def test_contradictions_are_wrong_use(
    terminal: Terminal, good: Path, words: tuple[str, ...]
) -> None:
    assert terminal.types("4bk", "extract", good, *words).code == 2


def test_what_is_no_archive_is_not_called_damaged(terminal: Terminal, tmp_path: Path) -> None:
    other = written(tmp_path / "notes.4BK", b"not an archive of 4D at all, whatever its name is")

    printed = terminal.types("4bk", "list", other)

    assert printed.code == 1
    assert str(other) in printed.err
    assert "damaged" not in printed.err


@pytest.mark.parametrize("words", [("list",), ("list", "--json"), ("verify", "--json")])
def test_names_that_no_terminal_should_obey_are_escaped(
    terminal: Terminal, tmp_path: Path, words: tuple[str, ...]
) -> None:
    bad = written(tmp_path / "odd.4BK", archive({"./a\ud800\x1b[31m\n::\x07": b"x"}))

    printed = terminal.types("4bk", *words, bad)

    assert printed.code == 0
    assert "\x1b" not in printed.all
    assert "\x07" not in printed.all
    if words == ("list",):
        assert len(printed.out.splitlines()) == 2


def test_odd_names_are_extracted_and_told(terminal: Terminal, tmp_path: Path) -> None:
    bad = written(tmp_path / "odd.4BK", archive({"./a\ud800\x1b[31m::": b"x", "./../b::": b"y"}))

    printed = terminal.types("4bk", "extract", "--json", bad, "--to", tmp_path / "new")

    assert printed.code == 0
    assert printed.json["files"][1]["place"] == "found without a name/unusable name 0001"
    assert terminal.types("4bk", "extract", bad, "--to", tmp_path / "more").code == 0


def test_a_folder_among_the_files_stops_nothing(
    terminal: Terminal, good: Path, tmp_path: Path
) -> None:
    printed = terminal.types("4bk", "verify", tmp_path, good)

    assert printed.code == 1
    assert str(tmp_path) in printed.err
    assert f"{good}: whole" in printed.out


def test_a_pipe_does_not_keep_anybody_waiting(terminal: Terminal, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert terminal.types("4bk", "verify", tmp_path / "pipe").code == 1


def test_an_archive_whose_beginning_is_gone_is_damaged_and_gives_back_what_follows(
    terminal: Terminal, tmp_path: Path
) -> None:
    bad = written(tmp_path / "bad.4BK", bytes(512) + GOOD[512:])

    quick = terminal.types("4bk", "verify", "--quick", bad)
    printed = terminal.types("4bk", "extract", bad, "--to", tmp_path / "out")

    assert (quick.code, printed.code) == (5, 5)
    contents = [file.read_bytes() for file in (tmp_path / "out").iterdir()]
    assert list(FILES.values())[3] in contents


@pytest.mark.parametrize("end", [100, BLOCKS[1][0] - 1])
def test_an_archive_with_nothing_left_in_it_makes_no_folder(
    terminal: Terminal, tmp_path: Path, end: int
) -> None:
    cut = written(tmp_path / "cut.4BK", GOOD[:end])

    printed = terminal.types("4bk", "extract", cut, "--to", tmp_path / "out")

    assert printed.code == 5
    assert "the archive is cut off there" in printed.err
    assert "nothing of any file is left in it, nothing was written" in printed.err
    assert sorted(one.name for one in tmp_path.iterdir()) == ["cut.4BK", "service.xml"]


@pytest.mark.parametrize("to", [("--to", "out"), ("--stdout",)])
def test_one_file_of_an_archive_without_its_list_is_told_how_to_get_all(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: tuple[str, ...]
) -> None:
    bad = written(tmp_path / "bad.4BK", flipped(GOOD, BLOCKS[0][0] + 70))
    monkeypatch.chdir(tmp_path)

    printed = terminal.types("4bk", "extract", bad, "--only", "Data/data.4DD", *to)

    assert printed.code == 5
    assert "what to do: without the list nobody knows which file is which" in printed.err
    assert not (tmp_path / "out").exists()


def test_what_is_extracted_is_its_owners_alone(
    terminal: Terminal, good: Path, tmp_path: Path
) -> None:
    bad = written(tmp_path / "bad.4BK", flipped(GOOD, BLOCKS[0][0] + 70))
    whole, nameless = tmp_path / "whole", tmp_path / "nameless"

    terminal.types("4bk", "extract", good, "--to", whole)
    terminal.types("4bk", "extract", bad, "--to", nameless)

    for folder in (whole, nameless):
        below = [one for one in (folder, *folder.rglob("*")) if one.name != REPORT]
        modes = {(one.is_dir(), stat.S_IMODE(one.stat().st_mode)) for one in below}
        assert modes == {(True, 0o700), (False, 0o640)}


@pytest.mark.parametrize(
    "words", [("extract", "--stdout", "--only", "Data/data.4DD"), ("list",), ("list", "--json")]
)
def test_a_full_output_is_named(good: Path, words: tuple[str, ...]) -> None:
    command = [*PROGRAM, "4bk", *words, str(good)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            timeout=60,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[-1] == (
        "backup4d: standard output: No space left on device"
    )
