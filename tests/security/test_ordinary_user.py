"""An ordinary user without a single capability does all of it; what is not his is told, and nothing is pretended."""

import os
import stat
from collections.abc import Iterator

import pytest

from tests.engine.stories import KEEP
from tests.security.arena import SOMEBODY, Arena, arena

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else"),
]


@pytest.fixture
def place() -> Iterator[Arena]:
    with arena(owner=SOMEBODY) as made:
        os.chown(made.folder, SOMEBODY, SOMEBODY)
        yield made


def does(place: Arena, *arguments: object) -> str:
    ran = place.run(*map(str, arguments), user=SOMEBODY)
    assert ran.code == 0, (arguments, ran.said)
    return ran.said


@pytest.mark.slow
def test_a_whole_life_needs_no_capability(place: Arena) -> None:
    package, folder = place.app.package, place.app.destination / "data[0001]"
    scratch = place.folder / "scratch"
    scratch.mkdir()
    os.chown(scratch, SOMEBODY, SOMEBODY)

    does(place, "backup", package)
    does(place, "list", package)
    does(place, "verify", package)
    does(place, "diff", folder, "live")
    does(place, "restore", folder, "--to", place.folder / "back")
    does(place, "settings", "set", package, KEEP.partition("/")[2], "1")
    does(place, "backup", package)
    does(place, "restore", package, "--in-place")
    does(place, "drill", package, "--scratch", scratch)

    assert place.app.sets() == ["data[0002]"]
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
def test_bits_and_owners_he_may_not_give_are_saved_and_come_back_as_his(place: Arena) -> None:
    odd = place.app.package / "Odd"
    odd.mkdir()
    for name, mode in (("setuid", 0o4755), ("setgid", 0o2755), ("foreign", 0o644)):
        (odd / name).write_text(name)
        owner = 1234 if name == "foreign" else SOMEBODY
        os.chown(odd / name, owner, owner)
        (odd / name).chmod(mode)
    os.mknod(odd / "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    place.app.configure({}, attachments=["./Odd/"])

    said = does(place, "backup", place.app.package)
    does(place, "restore", place.app.destination / "data[0001]", "--to", place.folder / "back")

    back = {path.name: path.lstat() for path in (place.folder / "back" / "Odd").iterdir()}
    assert set(back) == {"setuid", "setgid", "foreign"}
    assert {facts.st_uid for facts in back.values()} == {SOMEBODY}
    assert back["setuid"].st_mode & 0o7777 == 0o4755
    assert "device" in said or "device" in place.app.journal()


def test_a_restore_never_makes_a_file_of_another_user_run_with_his_rights(place: Arena) -> None:
    """A set-user-id file of user 1234 comes back as SOMEBODY's: it must not be SOMEBODY who runs in it then."""
    odd = place.app.package / "Odd"
    odd.mkdir()
    (odd / "theirs").write_text("theirs")
    os.chown(odd / "theirs", 1234, 1234)
    (odd / "theirs").chmod(0o4755)
    place.app.configure({}, attachments=["./Odd/"])
    does(place, "backup", place.app.package)

    does(place, "restore", place.app.destination / "data[0001]", "--to", place.folder / "back")

    facts = (place.folder / "back" / "Odd" / "theirs").stat()
    assert facts.st_uid == SOMEBODY
    assert not facts.st_mode & stat.S_ISUID
