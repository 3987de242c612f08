"""Mode and owner of everything the program makes are those of one table, whatever the umask."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engine.stories import KEEP
from tests.scheduler.real import PROGRAM, service_of, visible, wait_until
from tests.security.arena import ATTACKER, SOMEBODY, Arena, arena, modes, reads, run_as

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else"),
]

UMASKS = [
    *(pytest.param(mask, marks=pytest.mark.slow) for mask in (0o000, 0o022, 0o077)),
    0o777,
]
# the one table; docs/reliability.md shows it
DESTINATION = {
    "data[0001]": "0o750",
    "data[0001]/data[0001].tar.zst": "0o640",
    "data[0001]/data[0000].journal.zst": "0o640",
    "data[0001]/manifest.json": "0o640",
    "data[0001]/SHA256SUMS": "0o640",
    "backupHistory.json": "0o644",
    "restore.py": "0o644",
    ".backup4d-destination.lock": "0o640",
}
LOGS = {".backup4d.lock": "0o640", "Backup Journal[001].txt": "0o644"}
MADE_FOLDERS = "0o750"
STATE = "0o640"
COPIES = "0o600"  # of settings and service file: hooks may have passwords for arguments
RESTORED = "0o750"


@pytest.mark.parametrize("umask", UMASKS)
@pytest.mark.parametrize("user", [0, SOMEBODY])
def test_a_backup_makes_what_the_table_says(user: int, umask: int) -> None:
    with arena(owner=SOMEBODY) as place:
        (place.app.package / "Logs").rmdir()
        place.app.destination.rmdir()
        os.chown(place.folder, SOMEBODY, SOMEBODY)

        ran = place.backup(user=user, umask=umask)

        assert ran.code == 0, ran.err
        assert modes(place.app.destination) == owned(DESTINATION)
        assert modes(place.app.package / "Logs") == owned(LOGS)
        made = modes(place.folder)
        assert made["backups"] == made["app/Logs"] == (MADE_FOLDERS, SOMEBODY)


def owned(table: dict[str, str]) -> dict[str, tuple[str, int]]:
    return {name: (mode, SOMEBODY) for name, mode in table.items()}


@pytest.mark.slow
@pytest.mark.parametrize("umask", UMASKS)
@pytest.mark.parametrize("user", [0, SOMEBODY])
def test_a_restored_folder_opens_to_its_owner_and_his_group(user: int, umask: int) -> None:
    with arena(owner=SOMEBODY) as place:
        os.chown(place.folder, SOMEBODY, SOMEBODY)
        assert place.backup(user=SOMEBODY).code == 0
        source = place.app.destination / "data[0001]"

        ran = place.run("restore", source, "--to", place.folder / "back", user=user, umask=umask)

        assert ran.code == 0, ran.err
        found = modes(place.folder)
        assert found["back"] == (RESTORED, SOMEBODY)
        assert found["back/Data/data.4DD"] == found["app/Data/data.4DD"]


@pytest.mark.slow
@pytest.mark.parametrize("umask", UMASKS)
def test_what_a_restore_in_place_leaves_belongs_to_the_owner(umask: int) -> None:
    with arena(owner=SOMEBODY) as place:
        assert place.backup(user=SOMEBODY).code == 0
        (place.app.package / "Data" / "data.4DD").write_bytes(b"later")

        ran = place.run("restore", place.app.package, "--in-place", user=SOMEBODY, umask=umask)

        assert ran.code == 0, ran.err
        aside = next(place.app.package.glob("Replaced files*"))
        found = modes(place.app.package)
        assert found[aside.name] == ("0o750", SOMEBODY)
        assert found[f"{aside.name}/HOW TO GO BACK.txt"] == ("0o640", SOMEBODY)


@pytest.mark.slow
@pytest.mark.parametrize("umask", UMASKS)
def test_a_setting_written_back_keeps_mode_and_owner(umask: int) -> None:
    with arena(owner=SOMEBODY) as place:
        file = place.app.layout.settings_file
        file.chmod(0o640)

        ran = place.run(
            "settings", "set", place.app.package, KEEP.rpartition("/")[2], "5", umask=umask
        )

        assert ran.code == 0, ran.err
        facts = file.stat()
        assert (oct(facts.st_mode & 0o7777), facts.st_uid) == ("0o640", SOMEBODY)


def test_nobody_else_can_read_what_is_made_of_content_he_could_not_read() -> None:
    with arena(owner=SOMEBODY) as place:
        assert place.backup(user=SOMEBODY).code == 0
        folder = place.app.destination / "data[0001]"
        assert reads(SOMEBODY, folder / "data[0001].tar.zst")

        assert not reads(ATTACKER, place.app.data_file)
        for file in folder.iterdir():
            assert not reads(ATTACKER, file), file


@pytest.mark.slow
def test_an_administrator_can_open_the_sets_to_a_group() -> None:
    group = 47210
    with arena(owner=SOMEBODY) as place:
        os.chown(place.app.destination, SOMEBODY, group)
        place.app.destination.chmod(0o2750)

        assert place.backup(user=SOMEBODY).code == 0

        for path in (place.app.destination / "data[0001]").iterdir():
            assert path.stat().st_gid == group
            assert path.stat().st_mode & 0o040


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_state_and_socket_of_the_service_are_open_to_its_group_at_most(umask: int) -> None:
    with serving(umask) as (place, control):
        found = modes(place.folder / "made")
        kinds = {Path(name).suffix: mode for name, mode in found.items()}

        assert modes(place.folder)["made"][0] == MADE_FOLDERS
        assert kinds[".json"] == (STATE, 0)
        assert kinds[".4DSettings"] == kinds[".xml"] == (COPIES, 0)
        assert kinds[".lock"] == (STATE, 0)
        assert found[control.name] == ("0o660", 0)


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("doing", ["stop", "resume", "reload"])
def test_another_user_cannot_ask_the_service_for_anything(doing: str) -> None:
    with serving(0o022) as (place, control):
        control.parent.chmod(0o755)
        place.app.package.chmod(0o755)
        asked = [*PROGRAM, "--state-folder", str(control.parent), doing]

        ran = run_as(ATTACKER, asked if doing == "reload" else [*asked, str(place.app.package)])

        assert ran.code not in {0, 3}
        assert "Permission denied" in ran.said
        assert "Traceback" not in ran.said


@pytest.mark.slow
def test_the_socket_refuses_a_peer_of_another_user() -> None:
    with serving(0o000) as (_, control):
        control.parent.chmod(0o755)

        ran = run_as(ATTACKER, ["/usr/bin/python3", "-I", "-c", _CONNECT, str(control)])

        assert "PermissionError" in ran.err
        with socket.socket(socket.AF_UNIX) as ours:
            ours.connect(str(control))


_CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


@contextmanager
def serving(umask: int) -> Iterator[tuple[Arena, Path]]:
    """The service with state and socket in a folder it makes itself."""
    with arena() as place:
        file, state = place.folder / "service.xml", place.folder / "made"
        file.write_text(
            "<Backup4DService><Databases><Database>"
            f"<Package>{place.app.package}</Package></Database></Databases></Backup4DService>"
        )
        before = os.umask(umask)
        try:
            with service_of(file, state) as real:
                os.umask(before)
                control = state / "control.sock"
                wait_until(control.exists, "no control socket")
                wait_until(lambda: list(state.glob("*.json")), f"no state: {real.said()}")
                wait_until(lambda: list(state.glob("*.4DSettings")), "no copy of the settings")
                assert not visible(place.app)
                yield place, control
        finally:
            os.umask(before)
