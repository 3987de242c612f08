"""restore.py, shipped with every backup folder, restores any set without this program."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from engine.backup import run_backup
from engine.progress import silent
from engine.request import Request
from engine.setwriter import Surroundings
from engine.shipped import RESTORER, place_restorer, shipped_restorer
from engine.stop import StopRequest
from settings.locate import locate_database
from settings.paths import PathMap
from tests.engine.oddities import make_oddities
from tests.engine.stories import (
    COMPRESSION,
    DESTINATION,
    PARIS,
    SEGMENT,
    App,
    make_app,
    patterned,
    restored,
    tree,
)

pytestmark = pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not on this machine")
ODD = ("./Data/data.4DIndx", "./Odd")
FORMS = {
    "plain": {COMPRESSION: "None"},
    "fast": {COMPRESSION: "Fast"},
    "plain-segments": {COMPRESSION: "None", SEGMENT: "1"},
    "fast-segments": {COMPRESSION: "Fast", SEGMENT: "1"},
}
SHIPPED = shipped_restorer()


def run(folder: Path, target: Path, *more: str, path: str | None = None) -> tuple[int, str]:
    """Start restore.py as on a machine without backup4d: exit code, and all it says."""
    done = subprocess.run(
        [sys.executable, "-S", "-I", SHIPPED, folder, target, *more],
        env={"PATH": os.environ["PATH"] if path is None else path},
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def copy_of(folder: Path, where: Path) -> Path:
    """A copy of a set that a test may damage."""
    return Path(shutil.copytree(folder, where / folder.name))


def flip(file: Path, offset: int) -> None:
    content = bytearray(file.read_bytes())
    content[offset] ^= 0x40
    file.write_bytes(content)


def odd_app(folder: Path, changes: dict[str, str]) -> App:
    app = make_app(folder, attachments=ODD)
    make_oddities(app.package / "Odd")
    return app.configure(changes, attachments=ODD)


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small compressed set with a log; tests damage copies of it."""
    folder = tmp_path_factory.mktemp("fast")
    return make_app(folder, {COMPRESSION: "Fast"}, data=patterned(3 << 20)).backup_set()


@pytest.mark.parametrize("form", FORMS)
def test_it_brings_back_what_the_program_brings_back(tmp_path: Path, form: str) -> None:
    folder = odd_app(tmp_path, FORMS[form]).backup_set()

    code, said = run(folder, tmp_path / "alone")

    restored(folder, tmp_path / "own")
    assert (code, tree(tmp_path / "alone")) == (0, tree(tmp_path / "own")), said
    assert not (tmp_path / "alone.part").exists()
    holes = tmp_path / "alone" / "Odd" / "sparse" / "nothing but a hole"
    assert holes.stat().st_blocks * 512 < holes.stat().st_size


@pytest.mark.parametrize("form", FORMS)
def test_what_lies_outside_the_application_comes_back_as_with_the_program(
    tmp_path: Path, form: str
) -> None:
    outside, letters = tmp_path / "elsewhere" / "Data", tmp_path / "letters"
    app = make_app(tmp_path, data=patterned(3 << 20))
    outside.parent.mkdir()
    (app.package / "Data").rename(outside)
    make_oddities(letters)
    app.configure(FORMS[form], attachments=(f"{letters}/",))
    layout = locate_database(app.package, outside / "data.4DD")
    folder = run_backup(
        Request(layout, PathMap(), PARIS, None), Surroundings(app.clock, StopRequest(), silent)
    ).folder
    assert folder is not None

    code, said = run(folder, tmp_path / "alone")

    restored(folder, tmp_path / "own")
    back = tree(tmp_path / "alone")
    assert (code, back) == (0, tree(tmp_path / "own")), said
    inside = b"External" + os.fsencode(letters) + b"/noise"
    assert {b"Data/data.4DD", b"Data/data.journal", inside} <= set(back)


def test_a_partial_set_is_said(tmp_path: Path) -> None:
    folder = make_app(tmp_path, attachments=("./Missing/",)).backup_set()

    code, said = run(folder, tmp_path / "alone")

    assert (code, "this set is partial, without: " in said, "/Missing" in said) == (0, True, True)
    restored(folder, tmp_path / "own")
    assert tree(tmp_path / "alone") == tree(tmp_path / "own")


@pytest.mark.parametrize("rate", ["None", "Fast"])
@pytest.mark.parametrize("log", [b"", None])
def test_an_empty_or_no_log_is_no_fault(tmp_path: Path, rate: str, log: bytes | None) -> None:
    app = make_app(tmp_path, {COMPRESSION: rate})
    app.log.unlink()
    if log is not None:
        app.log.write_bytes(log)
    folder = app.backup_set()

    code, said = run(folder, tmp_path / "alone")

    assert code == 0, said
    restored(folder, tmp_path / "own")
    assert tree(tmp_path / "alone") == tree(tmp_path / "own")


@pytest.mark.parametrize("base", ["new\nline", "Größe [1] \\ x", os.fsdecode(b"caf\xe9")])
def test_any_name_of_a_data_file_will_do(tmp_path: Path, base: str) -> None:
    app = make_app(tmp_path)
    for file in (app.data_file, app.package / "Data" / "data.4DIndx", app.log):
        file.rename(file.with_name(base + file.suffix))
    folder = app.backup_set()

    code, said = run(folder, tmp_path / "alone")

    assert code == 0, said
    restored(folder, tmp_path / "own")
    assert tree(tmp_path / "alone") == tree(tmp_path / "own")


def test_an_empty_target_is_taken_and_a_full_one_is_not(fast: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()

    assert run(fast, tmp_path / "empty")[0] == 0
    code, said = run(fast, tmp_path / "full", "--anyway")

    assert (code, "is not empty" in said) == (1, True)
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine"]


@pytest.mark.parametrize("missing", ["manifest.json", "SHA256SUMS", "both"])
def test_without_manifest_or_checksums_it_says_what_is_not_known(
    fast: Path, tmp_path: Path, missing: str
) -> None:
    folder = copy_of(fast, tmp_path)
    for name in ("manifest.json", "SHA256SUMS") if missing == "both" else (missing,):
        (folder / name).unlink()

    code, said = run(folder, tmp_path / "alone")

    restored(fast, tmp_path / "own")
    assert (code, "not known: " in said) == (0, True), said
    there, wanted = tree(tmp_path / "alone"), tree(tmp_path / "own")
    if missing != "SHA256SUMS":  # the log's mode, owner and time stand in the manifest only
        assert there.pop(b"Data/data.journal")[-1] == wanted.pop(b"Data/data.journal")[-1]
    assert there == wanted


def test_damage_is_named_before_anything_is_written(fast: Path, tmp_path: Path) -> None:
    folder = copy_of(fast, tmp_path)
    flip(folder / "data[0001].tar.zst", -3000)

    code, said = run(folder, tmp_path / "alone")

    assert code == 1
    assert "'data[0001].tar.zst' is not what was written" in said
    assert sorted(tmp_path.iterdir()) == [folder]


def test_after_a_failure_it_says_what_was_left(fast: Path, tmp_path: Path) -> None:
    folder = copy_of(fast, tmp_path)
    (folder / "SHA256SUMS").unlink()
    flip(folder / "data[0001].tar.zst", -700)

    code, said = run(folder, tmp_path / "alone")

    left = tmp_path / "alone.part"
    assert (code, f"incomplete, to look at or to remove: {str(left)!r}" in said) == (1, True)
    assert (left / "Data" / "data.4DD").exists()
    assert "is left of another try" in run(fast, tmp_path / "alone")[1]


def test_what_lies_before_the_damage_comes_back_when_asked_for(fast: Path, tmp_path: Path) -> None:
    folder = copy_of(fast, tmp_path)
    flip(folder / "data[0001].tar.zst", -700)

    code, said = run(folder, tmp_path / "alone", "--anyway")

    restored(fast, tmp_path / "own")
    assert (code, "did not come back as manifest.json says" in said) == (1, True)
    for name in ("Data/data.4DD", "Data/data.journal"):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "own" / name).read_bytes()


@pytest.mark.parametrize("rate", ["None", "Fast"])
@pytest.mark.parametrize("with_lists", [True, False])
def test_a_missing_segment_is_noticed(tmp_path: Path, rate: str, with_lists: bool) -> None:
    app = make_app(tmp_path, {COMPRESSION: rate, SEGMENT: "1"}, data=os.urandom(5 << 20))
    folder = app.backup_set()
    (suffix,) = {p.name.partition("]")[2] for p in folder.iterdir() if ".tar" in p.name}
    (folder / f"data[0001-0003]{suffix}").unlink()
    if not with_lists:
        (folder / "SHA256SUMS").unlink()
        (folder / "manifest.json").unlink()

    code, said = run(folder, tmp_path / "alone")

    assert (code, (tmp_path / "alone").exists()) == (1, False)
    missing = f"{f'data[0001-0003]{suffix}'!r} is missing"
    assert (missing if with_lists else "are there in order") in said


def member(name: str, kind: bytes, link: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
    return info


REG, SYMLINK, HARDLINK = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
# names, kinds and links of members; OUT stands for a folder beside the target
HOSTILE: dict[str, tuple[tuple[str, bytes, str], ...]] = {
    "absolute": (("OUT/evil", REG, ""),),
    "above": (("../outside/evil", REG, ""),),
    "above-within": (("a/../../outside/evil", REG, ""),),
    "through-a-link": (("a", SYMLINK, "OUT"), ("a/evil", REG, "")),
    "link-through-a-link": (("a", SYMLINK, "OUT"), ("a/evil", SYMLINK, "x")),
    "hard-link-out": (("a", HARDLINK, "OUT/victim"),),
    "hard-link-above": (("a", HARDLINK, "../outside/victim"),),
    "hard-link-through-a-link": (("a", SYMLINK, "OUT"), ("b", HARDLINK, "a/victim")),
    "over-a-link": (("a", SYMLINK, "OUT/victim"), ("a", REG, "")),
    "twice": (("a", REG, ""), ("a", REG, "")),
    "fifo": (("a", tarfile.FIFOTYPE, ""),),
    "device": (("a", tarfile.CHRTYPE, ""),),
}


@pytest.mark.parametrize("anyway", [(), ("--anyway",)], ids=["stops", "anyway"])
@pytest.mark.parametrize("trick", HOSTILE)
def test_a_hostile_archive_writes_nothing_outside(
    tmp_path: Path, trick: str, anyway: tuple[str, ...]
) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "data[0001]"
    outside.mkdir()
    folder.mkdir()
    (outside / "victim").write_bytes(b"precious")
    with tarfile.open(folder / "data[0001].tar", "w") as tar:
        for name, kind, link in HOSTILE[trick]:
            out = str(outside)
            info = member(name.replace("OUT", out), kind, link.replace("OUT", out))
            tar.addfile(info, io.BytesIO(b"evil"))
    before = tree(outside)

    code, said = run(folder, tmp_path / "alone", *anyway)

    assert (code, "NOT RIGHT" in said) == (1, True)
    assert tree(outside) == before
    assert (tmp_path / "alone").exists() == bool(anyway)


def test_without_zstd_it_says_what_to_install(fast: Path, tmp_path: Path) -> None:
    code, said = run(fast, tmp_path / "alone", path=str(tmp_path))

    assert (code, said) == (
        1,
        "the program zstd was not found: install it (apt install zstd); nothing was written\n",
    )


def test_a_newer_format_is_refused(fast: Path, tmp_path: Path) -> None:
    folder = copy_of(fast, tmp_path)
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"version": 1', b'"version": 3', 1))
    (folder / "SHA256SUMS").unlink()

    code, said = run(folder, tmp_path / "alone", "--anyway")

    assert (code, "newer format" in said, list(tmp_path.iterdir())) == (1, True, [folder])


def test_it_is_short_and_needs_the_standard_library_only() -> None:
    text = SHIPPED.read_text("utf-8")

    assert len(text.splitlines()) <= 275  # 125 of them for what 4D writes
    assert max(map(len, text.splitlines())) <= 100
    assert not any(name in text for name in ("import engine", "import blake3", "from engine"))


# --- its place beside the sets --------------------------------------------------------------------


def test_a_backup_puts_it_beside_the_sets(tmp_path: Path) -> None:
    app = make_app(tmp_path)

    app.backup()

    assert (app.destination / RESTORER).read_bytes() == SHIPPED.read_bytes()


@pytest.mark.parametrize(
    ("content", "stays"),
    [
        (b"# backup4d restore.py, version 0: old\n", False),
        (b"# backup4d restore.py, version 999: newer\n", True),
        (b"print('mine')\n", True),
        (b"", True),
    ],
    ids=["older", "newer", "foreign", "empty"],
)
def test_only_an_older_one_of_ours_is_replaced(tmp_path: Path, content: bytes, stays: bool) -> None:
    (tmp_path / RESTORER).write_bytes(content)

    place_restorer(tmp_path)

    assert ((tmp_path / RESTORER).read_bytes() == content) == stays


def test_a_link_with_its_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / RESTORER).symlink_to("nowhere")

    place_restorer(tmp_path)

    assert (tmp_path / RESTORER).readlink() == Path("nowhere")


def test_it_is_no_content_of_a_backup_folder_that_is_saved(tmp_path: Path) -> None:
    app = make_app(tmp_path, attachments=("./Kept",))
    (app.package / "Kept").mkdir()
    app.configure({DESTINATION: f"{app.package}/Kept/"}, attachments=("./Kept",))
    app.backup()

    folder = app.backup().folder

    assert folder is not None
    restored(folder, tmp_path / "own")
    assert (app.package / "Kept" / RESTORER).exists()
    assert list((tmp_path / "own" / "Kept").iterdir()) == []
