"""Archives of 4D taken apart: in 4D's way, into a new folder, nothing outside it; what is not whole is marked."""

import io
import os
from pathlib import Path

import pytest

from engine.errors import DamagedError, RestoreError, StoppedError
from engine.fourd.extract import REPORT, Wish, extract_archive
from engine.fourd.extracted import Extraction, Fate
from engine.fourd.listing import BODY_TAIL, Entry, body_head, render_list
from engine.fourd.onefile import copy_one
from engine.fourd.places import plan_places
from engine.fourd.reading import Way
from engine.stop import StopRequest
from tests.engine.fourd_stories import (
    DATA,
    FILES,
    WAY,
    archive,
    blocks,
    flipped,
    read,
    stream,
    wrapped,
)
from tests.engine.logs import Bytes

GOOD = archive()
BLOCKS = blocks(GOOD)


def extracted(data: bytes, target: Path, *patterns: str, as_stored: bool = False) -> Extraction:
    return extract_archive(Bytes(data), target, Wish(patterns, as_stored), WAY)


def found_below(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def bodies(files: dict[str, bytes]) -> dict[str, bytes]:
    return {text.partition("::")[0].removeprefix("./"): body for text, body in files.items()}


def test_everything_is_there_and_nothing_else(tmp_path: Path) -> None:
    extraction = extracted(GOOD, tmp_path / "new")

    assert found_below(tmp_path / "new") == bodies(FILES)
    assert extraction.is_whole
    assert [one.name for one in tmp_path.iterdir()] == ["new"]


def test_only_what_was_chosen_is_there(tmp_path: Path) -> None:
    extracted(GOOD, tmp_path / "new", "Data/Settings", "*.txt")

    assert list(found_below(tmp_path / "new")) == ["Data/Settings/settings.4DSettings", "empty.txt"]


def test_a_pattern_that_nothing_matches_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(RestoreError, match="nothing in the archive is 'x'"):
        extracted(GOOD, tmp_path / "new", "Data", "x")

    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()

    with pytest.raises(RestoreError, match="exists already"):
        extracted(GOOD, tmp_path / "new")


def test_a_stop_leaves_nothing(tmp_path: Path) -> None:
    stop = StopRequest()
    stop.ask()

    with pytest.raises(StoppedError):
        extract_archive(Bytes(GOOD), tmp_path / "new", Wish(), Way(1, stop))

    assert list(tmp_path.iterdir()) == []


def test_of_a_large_archive_no_more_is_read_than_what_was_chosen(tmp_path: Path) -> None:
    files = {"./first::": b"1" * 10, "./big::": os.urandom(14 << 20), "./last::": b"2" * 40_000}
    reader = Bytes(archive(files))

    extraction = extract_archive(reader, tmp_path / "new", Wish(["last"]), WAY)

    assert found_below(tmp_path / "new") == {"last": files["./last::"]}
    assert extraction.is_whole
    assert sum(reader.reads) < 9 << 20


def test_damage_elsewhere_does_not_matter_for_what_was_chosen(tmp_path: Path) -> None:
    files = {"./first::": b"1" * 10, "./big::": os.urandom(8 << 20), "./last::": b"2" * 40_000}
    data = archive(files)
    data = flipped(data, blocks(data)[200][0] + 500)

    extraction = extract_archive(Bytes(data), tmp_path / "new", Wish(["first", "last"]), WAY)

    assert len(found_below(tmp_path / "new")) == 2
    assert extraction.is_whole


def test_a_damaged_head_on_the_way_to_what_was_chosen_is_passed(tmp_path: Path) -> None:
    files = {"./first::": b"1" * 10, "./big::": os.urandom(8 << 20), "./last::": b"2" * 40_000}
    data = bytearray(archive(files))
    at = blocks(bytes(data))[200][0]
    data[at : at + 40] = bytes(40)

    extraction = extract_archive(Bytes(bytes(data)), tmp_path / "new", Wish(["last"]), WAY)

    assert found_below(tmp_path / "new")["last"] == files["./last::"]
    assert [one.fate for one in extraction.files] == [Fate.WHOLE]


# --- 4D's way


def places(*texts: str, as_stored: bool = False) -> list[str]:
    return plan_places([Entry(text, 0) for text in texts], as_stored=as_stored)


def test_data_outside_of_data_go_there_with_what_is_beside_them() -> None:
    given = ("./Tasks.4DD::DataFile", "./tasks.4DIndx::C:\\", "./Settings/b::", "./Other.4DIndx::x")

    assert places(*given) == ["Data/Tasks.4DD", "Data/tasks.4DIndx", "Settings/b", "Other.4DIndx"]
    assert places(*given, as_stored=True)[:2] == ["Tasks.4DD", "tasks.4DIndx"]


def test_settings_beside_data_in_a_folder_of_their_own_go_with_them() -> None:
    given = ("./Base/a.4DD::DataFile", "./Base/Settings/b.4DSettings::", "./Base/other::")

    assert places(*given) == ["Data/a.4DD", "Data/Settings/b.4DSettings", "Base/other"]


def test_data_in_data_stay() -> None:
    assert places(DATA, "./Data/Settings/b::") == ["Data/data.4DD", "Data/Settings/b"]


# --- damage


def test_a_damaged_file_cannot_be_mistaken_for_a_whole_one(tmp_path: Path) -> None:
    at, stored = BLOCKS[2]

    extraction = extracted(flipped(GOOD, at + 48 + stored // 2), tmp_path / "new")

    found = found_below(tmp_path / "new")
    wanted = bodies(FILES)
    damaged = found.pop("Data/data.4DD.incomplete")
    report = found.pop(REPORT).decode()
    whole = wanted.pop("Data/data.4DD")
    assert found == wanted
    (part,) = extraction.outcome.troubles[0].parts
    assert damaged == whole[: part.start] + bytes(part.end - part.start) + whole[part.end :]
    assert f"Data/data.4DD, bytes {part.start} to {part.end} of 150000" in report
    assert not extraction.is_whole


def test_what_is_only_doubted_is_kept_and_marked(tmp_path: Path) -> None:
    extracted(flipped(GOOD, BLOCKS[2][0] + 20), tmp_path / "new")

    assert found_below(tmp_path / "new")["Data/data.4DD.unproved"] == FILES[DATA]


def test_what_is_lost_altogether_is_told_and_not_made(tmp_path: Path) -> None:
    extraction = extracted(GOOD[: BLOCKS[1][0]], tmp_path / "new")

    fates = [one.fate for one in extraction.files]
    assert fates == [Fate.INCOMPLETE, Fate.NOT_MADE, Fate.WHOLE, Fate.NOT_MADE, Fate.NOT_MADE]
    assert len(found_below(tmp_path / "new")["Data/data.4DD.incomplete"]) == 150_000


def test_exchanged_blocks_leave_no_long_file_unmarked(tmp_path: Path) -> None:
    (a, b, c) = (at for at, _ in BLOCKS[2:5])
    # one lies inside the data file, the other holds its end and the next files
    (d, e) = (BLOCKS[4][0], BLOCKS[5][0])
    data = GOOD[:a] + GOOD[d:e] + GOOD[b:c] + GOOD[a:b] + GOOD[e:]

    extraction = extracted(data, tmp_path / "new")

    marked = {one.index for one in extraction.files if one.fate is Fate.UNPROVED}
    assert 0 in marked
    for one in extraction.files:
        if one.fate is Fate.WHOLE:
            name = extraction.outcome.listing.entries[one.index].text
            assert (tmp_path / "new" / os.fsdecode(one.place)).read_bytes() == FILES[name]


def test_one_file_to_a_stream() -> None:
    out = io.BytesIO()

    copy_one(Bytes(GOOD), "Project/Sources/catalog.4DCatalog", out, WAY)

    assert out.getvalue() == FILES["./Project/Sources/catalog.4DCatalog::"]


def test_a_stream_ends_before_the_first_byte_that_is_lost() -> None:
    at, stored = BLOCKS[2]
    out = io.BytesIO()

    with pytest.raises(DamagedError, match="are lost; nothing more was written"):
        copy_one(Bytes(flipped(GOOD, at + 48 + stored // 2)), "Data/data.4DD", out, WAY)

    assert FILES[DATA].startswith(out.getvalue())


@pytest.mark.parametrize("name", ["Data/data.4DD", "Ümläut/ファイル.4dm"])
def test_a_stream_of_blocks_out_of_order_ends_as_damaged(name: str) -> None:
    first, second, third, fourth = (BLOCKS[number][0] for number in (2, 3, 4, 5))
    data = GOOD[:first] + GOOD[third:fourth] + GOOD[second:third] + GOOD[first:second]
    data += GOOD[fourth:]

    with pytest.raises(DamagedError, match=r"not in their order|not proved"):
        copy_one(Bytes(data), name, io.BytesIO(), WAY)


# --- hostile archives


def hostile(*names: str) -> bytes:
    # what follows the colons makes the same name twice possible
    given = {
        f"{name}::{at}": name.encode("utf-8", "surrogatepass") for at, name in enumerate(names)
    }
    return archive(given)


NAMES = (
    "../outside",
    "./../../outside",
    "/absolute-of-4bk",
    "./a/../../outside",
    "./nul\0byte",
    "./.",
    "./",
    "./a//b",
    "./" + "d/" * 3000 + "deep",
    "./" + "n" * 300,
    "./half \ud800 pair",
    "./line\nbreak \x1b[31m",
    f"./{REPORT}",
    "./same",
    "./same",
    "./same/below",
    "./SAME",
)


def test_no_name_leads_outside_and_no_file_takes_the_place_of_another(tmp_path: Path) -> None:
    target = tmp_path / "inner" / "new"
    target.parent.mkdir()

    extraction = extracted(hostile(*NAMES), target)

    assert [one.name for one in tmp_path.iterdir()] == ["inner"]
    assert [one.name for one in target.parent.iterdir()] == ["new"]
    assert not Path("/absolute-of-4bk").exists()
    places = [one.place for one in extraction.files]
    assert len(set(places)) == len(NAMES)
    for name, place in zip(NAMES, places, strict=True):
        assert (os.fsencode(target) + b"/" + place).count(b"..") == 0
        body = Path(os.fsdecode(os.fsencode(target) + b"/" + place)).read_bytes()
        assert body == name.encode("utf-8", "surrogatepass")


def test_colons_in_a_name_do_not_hide_what_it_is(tmp_path: Path) -> None:
    extraction = extracted(archive({"./a::b::c": b"x", "./::DataFile": b"y"}), tmp_path / "new")

    assert [one.fate for one in extraction.files] == [Fate.WHOLE, Fate.WHOLE]
    assert (tmp_path / "new" / "a").read_bytes() == b"x"


@pytest.mark.parametrize("size", [1 << 40, 1 << 61])
def test_a_giant_size_costs_no_more_than_what_is_there(tmp_path: Path, size: int) -> None:
    given = [Entry("./big::", size), Entry("./other::", 5)]
    data = wrapped(b"".join(render_list(given)) + body_head(size) + b"all there is")

    extraction = extracted(data, tmp_path / "new")

    assert [one.fate for one in extraction.files] == [Fate.INCOMPLETE, Fate.NOT_MADE]
    file = tmp_path / "new" / "big.incomplete"
    assert file.stat().st_blocks < 100
    with file.open("rb") as opened:
        assert opened.read(12) == b"all there is"


def test_sizes_that_differ_between_list_and_file_are_seen(tmp_path: Path) -> None:
    given = [Entry("./a::", 3), Entry("./b::", 3)]
    data = wrapped(
        b"".join(render_list(given))
        + body_head(4)
        + b"abc"
        + BODY_TAIL
        + body_head(3)
        + b"def"
        + BODY_TAIL
    )

    extraction = extracted(data, tmp_path / "new")

    assert [one.fate for one in extraction.files] == [Fate.UNPROVED, Fate.WHOLE]


def test_a_thousand_false_beginnings_cost_little_time() -> None:
    at = BLOCKS[2][0]
    false = GOOD[at : at + 44] + b"????"
    data = GOOD[:at] + false * 8_000 + GOOD[at:]

    outcome, taken = read(data)

    assert not outcome.is_whole
    assert taken.right_where_kept(FILES)


def test_short_blocks_are_told(tmp_path: Path) -> None:
    extraction = extracted(wrapped(stream(GOOD), 10_000), tmp_path / "new")

    assert found_below(tmp_path / "new")["Data/data.4DD"] == FILES[DATA]
    assert "not the last one" in extraction.outcome.troubles[0].text
