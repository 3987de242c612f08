"""Links, second names, pipes and folders planted under every name the program uses lead it nowhere else."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import workbench
from engine.errors import EngineError
from engine.sets import database_tag
from scheduler.state import state_file
from tests.engine.stories import KEEP, App, pass_a_day, restored
from tests.scheduler.real import service_of, wait_until
from tests.security.arena import ATTACKER, SECRET, Arena, arena, attacking, give

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root has an attacker to fear"),
]


def _link(place: Path, victim: Path) -> None:
    place.symlink_to(victim / "config.json")


def _link_to_folder(place: Path, victim: Path) -> None:
    place.symlink_to(victim)


def _link_to_nothing(place: Path, victim: Path) -> None:
    place.symlink_to(victim / "new")


def _second_name(place: Path, victim: Path) -> None:
    """As a kernel with protected_hardlinks 0 lets anybody do."""
    os.link(victim / "config.json", place)


def _pipe(place: Path, _: Path) -> None:
    os.mkfifo(place)


def _folder(place: Path, victim: Path) -> None:
    place.mkdir()
    (place / "inner").symlink_to(victim)
    (place / "manifest.json").symlink_to(victim / "config.json")
    (place / "shadow").symlink_to(victim / "shadow")


def _socket(place: Path, _: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(place.parent)
        made.bind(place.name)
        os.chdir("/")


KINDS: dict[str, Callable[[Path, Path], None]] = {
    "a link to a file": _link,
    "a link to a folder": _link_to_folder,
    "a link to nothing": _link_to_nothing,
    "a second name of a file": _second_name,
    "a pipe": _pipe,
    "a folder of links": _folder,
    "a socket": _socket,
}


QUICK = ("a link to a file", "a second name of a file")
SOME = [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]


def names_in_destination(app: App) -> list[Path]:
    tag = database_tag(app.data_file)
    names = [
        *(".backup4d-destination.lock", "backupHistory.json", ".backupHistory.json.part"),
        *("restore.py", ".restore.py.part", "data[0001]", "data[0003]"),
        *(f".backup4d-staging-{tag}-data[{number:04d}]" for number in (1, 2, 3)),
        *(f".backup4d-removing-{tag}-data[{number:04d}]" for number in (1, 2, 3)),
    ]
    return [app.destination / name for name in names]


def names_in_logs(app: App) -> list[Path]:
    logs = app.package / "Logs"
    names = [".backup4d.lock", "Backup Journal[001].txt", "Backup Journal[999].txt"]
    return [logs / name for name in (*names, ".backup4d-open-check.json")]


@pytest.mark.parametrize("kind", SOME)
def test_what_is_planted_in_the_backup_folder_leads_nowhere(kind: str) -> None:
    with arena() as place:
        place.app.configure({KEEP: "1"})
        for name in names_in_destination(place.app):
            _try(place, name, kind, place.app.destination)


@pytest.mark.parametrize("kind", SOME)
def test_what_is_planted_in_logs_leads_nowhere(kind: str) -> None:
    with arena() as place:
        for name in names_in_logs(place.app):
            _try(place, name, kind, place.app.package / "Logs")


def _try(place: Arena, name: Path, kind: str, owned: Path) -> None:
    """Two backups with rotation past something planted; the victim is as before, and nothing of it is told."""
    for path in list(owned.iterdir()):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    give(owned)
    before = place.before()
    KINDS[kind](name, place.victim)
    words = ""
    for _ in range(2):
        pass_a_day(place.app)
        try:
            outcome = place.app.backup()
            words += outcome.text + "".join(outcome.warnings)
        except EngineError as error:
            words += f"{error} {error.hint}"
    if kind == "a second name of a file":  # its count of names is the attacker's doing
        name.unlink(missing_ok=True)
    assert place.before() == before, name
    assert SECRET not in words, name
    assert not _tells(owned), name


def _tells(folder: Path) -> list[Path]:
    """Files the attacker may read that hold the victim's secret."""
    found = []
    for file in folder.rglob("*"):
        facts = file.lstat()
        is_own = facts.st_nlink == 1 and not file.is_symlink() and file.is_file()
        if is_own and SECRET.encode() in file.read_bytes():
            found.append(file)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_planted_beside_the_settings_leads_nowhere(kind: str) -> None:
    with arena() as place:
        settings = place.app.layout.settings_file
        part = settings.with_name(f".{settings.name}.planted.backup4d-part")
        for name in (part, settings.with_name(f".{settings.name}.part")):
            give(settings.parent)
            before = place.before()
            KINDS[kind](name, place.victim)

            ran = place.run("settings", "set", place.app.package, "SetNumber/Value", "5")

            if kind == "a second name of a file":
                name.unlink(missing_ok=True)
            assert place.before() == before
            assert "Traceback" not in ran.said


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_planted_in_the_state_folder_leads_nowhere(kind: str) -> None:
    with arena() as place:
        state = place.folder / "state"
        file = place.folder / "service.xml"
        file.write_text(
            "<Backup4DService><Databases><Database>"
            f"<Package>{place.app.package}</Package></Database></Databases></Backup4DService>"
        )
        mine = state_file(state, place.app.data_file)
        names = [mine, mine.with_name(f".{mine.name}.part"), mine.with_suffix(".4DSettings")]
        for name in (*names, state / "control.sock", state / "service.lock"):
            for path in state.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            give(state)
            before = place.before()
            KINDS[kind](name, place.victim)

            with service_of(file, state) as real:
                wait_until(
                    lambda: (
                        real.process.poll() is not None
                        or "next backup" in real.said()
                        or mine.is_file()
                    ),
                    "neither up nor ended",
                )
                said = real.said()
            if kind == "a second name of a file":
                name.unlink(missing_ok=True)
            assert place.before() == before, (name, said)
            assert SECRET not in said
            assert "Traceback" not in said, said


def test_traces_that_name_the_record_of_another_database_are_not_obeyed() -> None:
    with arena() as place:
        theirs = place.victim / "Replaced files (2026-01-01 00-00-00)"
        theirs.mkdir()
        record = theirs / ".backup4d-exchange.json"
        record.write_text('{"backup4d-exchange": [], "folders": []}')
        before = place.before()
        lock = place.app.package / "Logs" / ".backup4d.lock"
        for is_exchanging in ("true", "false"):
            lock.write_text(
                f'{{"doing": "a restore in place", "since": "2026-01-01T00:00:00+00:00", "rooms": [],'
                f' "record": "{record}", "is_exchanging": {is_exchanging}}}'.ljust(1 << 15)
            )

            with pytest.raises(EngineError, match="which is not in"):
                place.app.backup()

            assert place.before() == before


# --- while it runs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["replace", pytest.param("flicker", marks=pytest.mark.slow)])
def test_a_staging_folder_swapped_for_a_link_leads_nowhere(mode: str) -> None:
    with arena() as place:
        give(place.app.destination)
        before = place.before()

        with attacking(mode, place.app.destination, ".backup4d-staging-", place.victim) as struck:
            ran = place.backup()

        assert struck
        assert place.before() == before
        # swapped before it was opened it is no folder, later it is not the one that was written
        refusals = ("was replaced by something else", "Not a directory")
        assert ran.code == 0 or any(words in ran.err for words in refusals), ran.err


def _race(place: Arena, runs: int, *attack: str | Path) -> list[str]:
    """Backups with rotation while the attacker is at it; what each said."""
    said = []
    with attacking(*attack) as struck:
        for _ in range(runs):
            pass_a_day(place.app)
            try:
                said.append(place.app.backup().text)
            except EngineError as error:
                said.append(str(error))
    assert struck
    return said


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["replace", "flicker"])
def test_a_set_that_rotation_removes_swapped_for_a_link_leads_nowhere(mode: str) -> None:
    with arena() as place:
        place.app.configure({KEEP: "1"})
        place.app.backup()
        give(place.app.destination)
        before = place.before()

        _race(place, 12, mode, place.app.destination, ".backup4d-removing-", place.victim)

        assert place.before() == before


@pytest.mark.slow
def test_sets_swapped_for_links_during_rotation_lead_nowhere() -> None:
    with arena() as place:
        place.app.configure({KEEP: "1"})
        place.app.backup()
        give(place.app.destination)
        before = place.before()

        _race(place, 12, "flicker", place.app.destination, "data[", place.victim)

        assert place.before() == before


@pytest.mark.slow
def test_a_backup_folder_that_flickers_with_a_link_leads_nowhere() -> None:
    with arena() as place:
        place.app.configure({KEEP: "1"})
        inside = place.folder / "theirs"
        inside.mkdir()
        place.app.destination.rename(inside / "backups")
        app = App(place.app.package, inside / "backups", place.app.clock).configure({KEEP: "1"})
        theirs = Arena(place.folder, app, place.victim)
        app.backup()
        (inside / "link").symlink_to(place.victim)
        os.chown(inside / "link", ATTACKER, ATTACKER, follow_symlinks=False)
        os.chown(inside, ATTACKER, ATTACKER)
        before = place.before()

        said = _race(theirs, 12, "trade", inside / "backups", inside / "link")

        assert place.before() == before, said


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["replace", "flicker"])
@pytest.mark.parametrize("is_inside", [False, True])
def test_a_restore_into_a_folder_of_somebody_else_leads_nowhere(
    mode: str, *, is_inside: bool
) -> None:
    """The victim keeps its mode, its owner and all that is in it; nothing of what came back goes there."""
    with arena() as place:
        source = place.app.backup_set()
        theirs = place.folder / "theirs"
        theirs.mkdir()
        give(theirs)
        before = place.before()
        said = []

        with attacking(mode, theirs, ".backup4d-restoring-", place.victim):
            for number in range(1 if is_inside else 8):
                target = theirs if is_inside else theirs / f"back {number}"
                try:
                    restored(source, target)
                except (EngineError, OSError) as error:
                    said.append(str(error))

        assert place.before() == before, said


def test_a_link_put_in_the_place_of_a_new_folder_at_once_leads_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The moment that races hardly ever meet: the folder was made, and nothing was done with it yet."""
    make_held = workbench.make_held

    with arena() as place:
        source = place.app.backup_set()
        before = place.before()

        def make_and_strike(room_in: Path, prefix: str) -> tuple[Path, int]:
            folder, descriptor = make_held(room_in, prefix)
            folder.rename(folder.with_name("stolen"))
            folder.symlink_to(place.victim)
            return folder, descriptor

        monkeypatch.setattr(workbench, "make_held", make_and_strike)
        with pytest.raises((EngineError, OSError)):
            restored(source, place.folder / "back")

        assert place.before() == before
