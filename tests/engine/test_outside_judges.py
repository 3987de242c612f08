"""Archives are judged by GNU tar, zstd, coreutils and Python's tarfile, none of which knows this program."""

import json
import os
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import IO, Any, cast

import pytest

from tests.engine.oddities import NAMES, TIMES_NS, deep_folder, make_oddities
from tests.engine.stories import (
    COMPRESSION,
    SEGMENT,
    below,
    judge,
    make_app,
    patterned,
    restored,
    tar_stream,
    tree,
    verified,
)

FORMS = {
    "plain tar": {COMPRESSION: "None"},
    "fast": {COMPRESSION: "Fast"},
    "compact": {COMPRESSION: "Compact"},
    "plain tar in segments": {COMPRESSION: "None", SEGMENT: "1"},
    "fast in segments": {COMPRESSION: "Fast", SEGMENT: "1"},
}
# the log is an archive of its own, the Logs folder is not asked for
NOT_IN_THE_TAR = ("Logs", "data.journal")


class Told:
    """One application full of oddities, its set, and the tar inside the set."""

    def __init__(self, folder: Path, changes: dict[str, str]) -> None:
        self.app = make_app(folder, attachments=("./Data/data.4DIndx", "./Odd"))
        make_oddities(self.app.package / "Odd")
        self.app.configure(changes, attachments=("./Data/data.4DIndx", "./Odd"))
        self.source = tree(self.app.package)
        self.set = self.app.backup_set()
        self.folder = folder

    @property
    def tar(self) -> Path:
        target = self.folder / "whole.tar"
        return target if target.exists() else tar_stream(self.set, target)

    def expected(self) -> dict[bytes, tuple[Any, ...]]:
        """What must come back from the set."""
        return {path: facts for path, facts in self.source.items() if not path.startswith(b"Logs")}


@pytest.fixture(scope="module", params=FORMS, ids=lambda name: name.replace(" ", "-"))
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Told:
    return Told(tmp_path_factory.mktemp("told"), FORMS[request.param])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return Told(tmp_path_factory.mktemp("plain"), FORMS["fast"])


def test_sha256sum_agrees_with_every_file(told: Told) -> None:
    names = judge("sha256sum", "-c", "SHA256SUMS", cwd=told.set).decode().splitlines()

    others = {p.name for p in told.set.iterdir()} - {"SHA256SUMS"}
    assert {name.removesuffix(": OK") for name in names} == others


def test_zstd_finds_every_compressed_file_whole(told: Told) -> None:
    packed = sorted(p for p in told.set.iterdir() if p.suffix == ".zst")
    segments = [p for p in packed if "-0001" in p.name]

    for file in packed:
        if not segments or "journal" in file.name:
            judge("zstd", "-tq", file)

    assert bool(packed) != (told.tar.stat().st_size == _main_bytes(told.set))


def test_tar_finds_no_difference_to_the_source(told: Told) -> None:
    told_differences = judge("tar", "-df", told.tar, "-C", told.app.package)

    assert told_differences == b""


def test_tar_unpacks_what_was_saved(told: Told) -> None:
    target = told.folder / "unpacked"
    target.mkdir()

    # data comes first in the archive, so tar meets some folders twice; this keeps their times
    judge("tar", "--delay-directory-restore", "-xpf", told.tar, "-C", target)

    excluded = [argument for name in NOT_IN_THE_TAR for argument in ("-x", name)]
    judge("diff", "-r", "--no-dereference", *excluded, told.app.package, target)
    expected = told.expected()
    del expected[b"Data/data.journal"]
    assert tree(target) == expected


def test_python_unpacks_what_was_saved(told: Told) -> None:
    target = told.folder / "unpacked by python"
    target.mkdir()

    with tarfile.open(told.tar, errors="surrogateescape") as tar:
        tar.extractall(target, filter="fully_trusted")  # noqa: S202 - our own

    expected = told.expected()
    del expected[b"Data/data.journal"]
    assert _coarse(tree(target)) == _coarse(expected)


def test_the_log_is_unpacked_by_zstd_alone(told: Told) -> None:
    (log,) = (p for p in told.set.iterdir() if p.name.startswith("data[0000].journal"))
    content = judge("zstd", "-dcq", log) if log.suffix == ".zst" else log.read_bytes()

    assert content == told.app.log.read_bytes()


def test_our_own_verification_agrees(told: Told) -> None:
    verdict = verified(told.set)

    assert verdict.good, verdict.damage
    assert verdict.members == len(told.expected())


def test_a_restore_brings_everything_back(told: Told) -> None:
    result = restored(told.set, told.folder / "restored")

    assert tree(told.folder / "restored") == told.expected()
    assert result.files == sum(
        1
        for facts in told.expected().values()
        if stat.S_ISREG(int(facts[0], 8)) and "linked to" not in facts
    ) + len({facts[-1] for facts in told.expected().values() if "linked to" in facts})


def test_holes_come_back_as_holes(told: Told) -> None:
    target = told.folder / "restored for holes"
    restored(told.set, target)

    for source in (told.app.package / "Odd" / "sparse").iterdir():
        copy = target / "Odd" / "sparse" / source.name
        if source.stat().st_size > 5 << 20:
            assert copy.stat().st_blocks * 512 <= source.stat().st_blocks * 512 + (12 << 20)
            assert copy.stat().st_blocks * 512 < copy.stat().st_size


def test_segments_are_as_large_as_asked_for(tmp_path: Path) -> None:
    app = make_app(tmp_path, FORMS["plain tar in segments"], data=patterned(3_500_000))

    folder = app.backup_set()

    segments = sorted(p for p in folder.iterdir() if ".tar" in p.name)
    assert [p.name for p in segments] == [f"data[0001-{n:04d}].tar" for n in (1, 2, 3, 4)]
    assert {p.stat().st_size for p in segments[:-1]} == {1 << 20}
    judge("tar", "-tf", tar_stream(folder, tmp_path / "whole.tar"))


def test_one_segment_has_the_plain_name(tmp_path: Path) -> None:
    app = make_app(tmp_path, FORMS["fast in segments"])

    folder = app.backup_set()

    assert (folder / "data[0001].tar.zst").exists()
    assert verified(folder).good


def test_every_odd_name_is_listed_by_tar_as_it_is(plain: Told) -> None:
    listed = judge("tar", "-tf", plain.tar, "--quoting-style=literal", "--null")

    for name in NAMES:
        assert b"Odd/names/" + name + b"\n" in listed


def test_every_time_is_in_the_tar_to_the_nanosecond(plain: Told) -> None:
    text = judge(
        "env", "TZ=UTC0", "tar", "-tvf", plain.tar, "--full-time", "--quoting-style=literal"
    ).decode("utf-8", "replace")

    assert "2023-11-14 22:13:20.123456789 Odd/times/nanoseconds" in text
    # what lies before 1970 comes back right as well (above), only tar's own listing shows it wrong
    assert "2400-01-01 00:00:00.000000001 Odd/times/far future" in text
    assert len(TIMES_NS) * 2 == text.count("Odd/times/") - 1


def test_a_path_beyond_the_systems_limit_is_saved_verified_and_restored(tmp_path: Path) -> None:
    app = make_app(tmp_path, attachments=("./Deep",))
    deep = app.package / "Deep"
    deep.mkdir()
    name = b"d" * 200
    with deep_folder(deep, levels=22, name=name) as descriptor:
        os.close(os.open(b"bottom", os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=descriptor))
        os.symlink(b"bottom", b"link", dir_fd=descriptor)
        os.link(b"bottom", b"twin", src_dir_fd=descriptor, dst_dir_fd=descriptor)

    folder = app.backup_set()

    path = b"/".join([b"Deep", *[name] * 22, b"bottom"])
    assert len(path) > 4096
    listed = judge("tar", "-tf", tar_stream(folder, tmp_path / "whole.tar"))
    assert path + b"\n" in listed
    assert verified(folder).good
    restored(folder, tmp_path / "back")
    assert below(tree(tmp_path / "back"), b"Deep") == below(tree(app.package), b"Deep")


def test_a_restore_that_fails_leaves_nothing_of_a_deep_tree(tmp_path: Path) -> None:
    app = make_app(tmp_path, attachments=("./Deep",))
    deep = app.package / "Deep"
    deep.mkdir()
    with deep_folder(deep, levels=22, name=b"d" * 200) as descriptor:
        os.close(os.open(b"bottom", os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=descriptor))
    (deep / "zz").write_bytes(patterned(3 << 20))
    folder = app.backup_set()
    _flip(folder / "data[0001].tar.zst", -3000)

    with pytest.raises(Exception, match="damaged"):
        restored(folder, tmp_path / "back")

    assert [p.name for p in tmp_path.iterdir() if "back" in p.name] == ["backups"]


def test_a_tar_of_a_stranger_can_be_told_from_the_name(plain: Told) -> None:
    """The manifest is JSON for everybody, whatever the names inside."""
    document = json.loads((plain.set / "manifest.json").read_bytes())

    assert document["format"] == "backup4d-set"
    assert len(document["members"]) == len(plain.expected())


@pytest.mark.root
@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may give files away and read what nobody may"
)
def test_owners_and_unreadable_files_come_back_for_root(tmp_path: Path) -> None:
    app = make_app(tmp_path, attachments=("./Owned",))
    owned = app.package / "Owned"
    owned.mkdir()
    for name, uid, gid in (("small", 1, 2), ("large", 2_097_152, 4_294_967_294)):
        (owned / name).write_bytes(b"x")
        os.chown(owned / name, uid, gid)
    (owned / "setuid").write_bytes(b"x")
    os.chown(owned / "setuid", 1234, 1234)
    (owned / "setuid").chmod(0o6755)
    (owned / "nobody reads this").write_bytes(b"x")
    (owned / "nobody reads this").chmod(0)
    (owned / "link").symlink_to("small")
    os.chown(owned / "link", 77, 88, follow_symlinks=False)
    (owned / "folder").mkdir()
    os.chown(owned / "folder", 5_000_000, 5_000_001)

    folder = app.backup_set()

    assert verified(folder).good
    restored(folder, tmp_path / "back")
    assert below(tree(tmp_path / "back"), b"Owned") == below(tree(app.package), b"Owned")
    target = tmp_path / "unpacked"
    target.mkdir()
    stream = tar_stream(folder, tmp_path / "whole.tar")
    assert judge("tar", "-df", stream, "-C", app.package) == b""
    judge("tar", "-xpf", stream, "-C", target)
    assert below(tree(target), b"Owned") == below(tree(app.package), b"Owned")


@pytest.mark.slow
@pytest.mark.parametrize("rate", ["None", "Fast"])
def test_a_sparse_file_of_over_8_gib_is_whole_for_everybody(tmp_path: Path, rate: str) -> None:
    app = make_app(tmp_path, {COMPRESSION: rate}, attachments=("./huge",))
    size = (8 << 30) + 12_345
    with (app.package / "huge").open("wb") as stream:
        for offset in (0, 3 << 30, (8 << 30) - 1, size - 9):
            stream.seek(offset)
            stream.write(b"something")

    folder = app.backup_set()

    assert verified(folder).good
    stream_file = tar_stream(folder, tmp_path / "whole.tar")
    assert judge("tar", "-df", stream_file, "-C", app.package) == b""
    target = tmp_path / "unpacked"
    target.mkdir()
    judge("tar", "-xpSf", stream_file, "-C", target, "huge")
    judge("cmp", app.package / "huge", target / "huge")
    (target / "huge").unlink()
    restored(folder, tmp_path / "back")
    judge("cmp", app.package / "huge", tmp_path / "back" / "huge")
    assert (tmp_path / "back" / "huge").stat().st_blocks * 512 < 64 << 20


@pytest.mark.slow
def test_a_full_file_of_over_8_gib_has_its_size_in_the_header(tmp_path: Path) -> None:
    """Stored as zeros in full, because it has no holes for the file system: only a pax size can say it."""
    app = make_app(tmp_path, attachments=("./huge",))
    size = (8 << 30) + 1
    with (app.package / "huge").open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, size)
    if (app.package / "huge").stat().st_blocks * 512 < size:
        pytest.skip("this file system does not keep blocks of zeros")

    folder = app.backup_set()

    with subprocess.Popen(
        ["zstd", "-dcq", folder / "data[0001].tar.zst"], stdout=subprocess.PIPE
    ) as zstd:
        pipe = cast("IO[bytes]", zstd.stdout)
        differences = subprocess.run(
            ["tar", "-d", "-f", "-", "-C", app.package],
            stdin=pipe,
            capture_output=True,
            check=False,
        )
    assert (differences.returncode, differences.stdout) == (0, b"")


def _main_bytes(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.iterdir() if ".tar" in p.name)


def _coarse(found: dict[bytes, tuple[Any, ...]]) -> dict[bytes, tuple[Any, ...]]:
    """Without what tarfile does not bring back: nanoseconds, and times of links."""
    return {
        path: tuple(part for at, part in enumerate(facts) if at != 3)
        for path, facts in found.items()
    }


def _flip(file: Path, offset: int) -> None:
    content = bytearray(file.read_bytes())
    content[offset] ^= 0x40
    file.write_bytes(content)
