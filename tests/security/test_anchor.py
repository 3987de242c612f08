"""A folder that is held stays the same whatever becomes of its name; root follows nobody's links but its own and the owner's."""

import os
from pathlib import Path

import pytest

from engine.anchor import anchored, known_name
from engine.printable import printable, printable_json
from tests.security.arena import ATTACKER, SOMEBODY


def test_what_is_held_is_not_led_elsewhere(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    folder.mkdir()
    other.mkdir()

    with anchored(folder, of=tmp_path) as held:
        folder.rename(tmp_path / "moved")
        folder.symlink_to(other)
        (held / "file").write_text("here")
        assert known_name(held / "file") == tmp_path / "moved" / "file"

    assert (tmp_path / "moved" / "file").read_text() == "here"
    assert list(other.iterdir()) == []


def test_a_link_in_the_place_of_our_own_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)

    with pytest.raises(OSError, match="Not a directory"), anchored(tmp_path / "link", of=None):
        pass


@pytest.mark.parametrize("target", ["real/inner", "../{name}/real/inner", "{folder}/real/inner"])
@pytest.mark.parametrize("owner", [0, SOMEBODY, ATTACKER])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root looks whose links it follows")
def test_root_follows_links_of_root_and_of_the_applications_owner(
    tmp_path: Path, target: str, owner: int
) -> None:
    package, real = tmp_path / "app", tmp_path / "real" / "inner"
    package.mkdir()
    os.chown(package, SOMEBODY, SOMEBODY)
    real.mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(target.format(name=tmp_path.name, folder=tmp_path))
    os.chown(link, owner, owner, follow_symlinks=False)

    if owner == ATTACKER:
        words = f"belongs to user {ATTACKER}"
        with pytest.raises(PermissionError, match=words), anchored(link, of=package):
            pass
        return
    with anchored(link, of=package) as held:
        assert held.samefile(real)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root looks whose links it follows")
def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")

    with pytest.raises(OSError, match="Too many levels"), anchored(tmp_path / "one", of=tmp_path):
        pass


@pytest.mark.parametrize(
    ("text", "shown", "in_json"),
    [
        ("plain é\n\tlines", "plain é\n\tlines", "plain é\n\tlines"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07", "\\u001b[2J\\u0007"),
        ("\u202eexe", "\\u202eexe", "\\u202eexe"),
        ("\udcff", "\\udcff", "\\udcff"),
        ("\U000e0001", "\\U000e0001", "\\udb40\\udc01"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_an_escape(
    text: str, shown: str, in_json: str
) -> None:
    assert printable(text) == shown
    assert printable_json(text) == in_json
