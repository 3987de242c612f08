"""Settings that cannot be used when a slot comes: the last good ones make the set, also after a restart."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import scheduler.settings_source as module
from scheduler.settings_source import (
    InForce,
    SettingsSource,
    last_good_file,
    load_last_good,
)
from settings.service_model import ServedDatabase
from tests.engine.stories import App, make_app
from tests.scheduler.real import (
    application,
    clock_in,
    owe,
    reschedule,
    service,
    visible,
)
from tests.scheduler.served_stories import HOUR, NIGHTLY_XML

BROKEN = b"<Preferences4D><Backup>"
PUBLISHED = "published in"


@pytest.fixture
def app(tmp_path: Path) -> App:
    return make_app(tmp_path, NIGHTLY_XML)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def entry(app: App) -> ServedDatabase:
    return ServedDatabase(app.package, None)


def settings_file(app: App) -> Path:
    return app.package / "Settings" / "backup.4DSettings"


def looked(source: SettingsSource) -> InForce:
    found = source.look()
    assert isinstance(found, InForce), found
    return found


def break_it(app: App) -> None:
    settings_file(app).write_bytes(BROKEN)


def delete_it(app: App) -> None:
    settings_file(app).unlink()


def take_the_folder(app: App) -> None:
    shutil.rmtree(app.package / "Settings")


def take_all(app: App) -> None:
    app.package.rename(app.package.with_name("away"))


HARM = [break_it, delete_it, take_the_folder, take_all]


@pytest.mark.parametrize("harm", HARM)
def test_the_last_good_settings_stay_while_the_file_cannot_be_used(
    app: App, state: Path, harm: Callable[[App], None]
) -> None:
    source = SettingsSource(entry(app), state)
    before = looked(source)

    harm(app)
    found = looked(source)

    assert found.reading == before.reading
    assert found.layout == before.layout
    assert found.problem is not None


@pytest.mark.parametrize("harm", HARM[:3])
def test_a_restart_under_a_broken_edit_changes_nothing(
    app: App, state: Path, harm: Callable[[App], None]
) -> None:
    before = looked(SettingsSource(entry(app), state))

    harm(app)
    found = looked(SettingsSource(entry(app), state))

    assert found.reading.digest == before.reading.digest
    assert found.problem is not None


def test_settings_that_never_were_good_are_none(app: App, state: Path) -> None:
    break_it(app)

    assert isinstance(SettingsSource(entry(app), state).look(), str)
    assert load_last_good(entry(app), state) is None


def test_a_copy_that_was_damaged_is_no_good_either(app: App, state: Path) -> None:
    layout = looked(SettingsSource(entry(app), state)).layout
    last_good_file(state, layout).write_bytes(BROKEN)
    break_it(app)

    assert isinstance(SettingsSource(entry(app), state).look(), str)


def test_good_settings_come_back(app: App, state: Path) -> None:
    source = SettingsSource(entry(app), state)
    before = looked(source)
    take_all(app)
    looked(source)

    app.package.with_name("away").rename(app.package)

    assert looked(source) == before


def test_an_edit_that_keeps_size_and_time_is_seen(app: App, state: Path) -> None:
    source = SettingsSource(entry(app), state)
    before = looked(source)
    file = settings_file(app)
    facts = file.stat()

    file.write_bytes(file.read_bytes().replace(b"02:30:00", b"03:30:00"))
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    assert looked(source).reading.digest != before.reading.digest


def test_an_edit_is_seen_within_minutes_where_the_file_system_always_shows_old_facts(
    app: App, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_signature", lambda _: ("always the same",))
    source = SettingsSource(entry(app), state)
    before = looked(source)

    app.configure({**NIGHTLY_XML, HOUR: "03:30:00"})
    seen = [looked(source).reading.digest for _ in range(module._FULL_READ)]

    assert seen[0] == before.reading.digest
    assert seen[-1] != before.reading.digest


def test_a_copy_that_cannot_be_kept_is_told_and_harms_nothing(
    app: App, state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state.write_text("a file where the folder should be")

    with caplog.at_level(logging.WARNING):
        assert looked(SettingsSource(entry(app), state)).problem is None

    assert "the settings could not be kept for later" in caplog.text


def test_two_data_files_of_one_package_have_copies_of_their_own(app: App, state: Path) -> None:
    other = app.data_file.with_name("other.4DD")
    other.write_bytes(b"other")
    layouts = [
        looked(SettingsSource(ServedDatabase(app.package, data), state)).layout
        for data in (app.data_file, other)
    ]

    assert len({last_good_file(state, layout) for layout in layouts}) == 2


# --- the real service -----------------------------------------------------------------------------


@pytest.mark.parametrize("harm", [break_it, pytest.param(delete_it, marks=pytest.mark.slow)])
def test_a_slot_under_a_broken_edit_has_its_set_and_the_journal_says_with_what(
    tmp_path: Path, state: Path, harm: Callable[[App], None]
) -> None:
    app = application(tmp_path)

    with service(state, app) as real:
        real.wait_for("next backup")
        reschedule(app, clock_in(4))
        real.wait_for("settings changed and taken up", seconds=6)
        harm(app)
        real.wait_for("settings refused; the last good settings stay in force", seconds=6)
        real.wait_for(PUBLISHED)

    assert visible(app) == ["data[0001]"]
    assert "cannot be used; the last good settings are" in set_entry(app)


@pytest.mark.slow
def test_a_slot_after_a_restart_under_a_broken_edit_has_its_set(
    tmp_path: Path, state: Path
) -> None:
    app = application(tmp_path)
    with service(state, app) as real:
        real.wait_for("next backup")
        assert real.stop() == 0
    owe(app, state)
    with service(state, app) as real:
        real.wait_for(PUBLISHED)
        reschedule(app, clock_in(3))
        real.wait_for("settings changed and taken up", seconds=6)
        assert real.stop() == 0
    sets = visible(app)
    break_it(app)

    with service(state, app) as real:
        real.wait_for(PUBLISHED)
        assert real.stop() == 0

    assert len(visible(app)) == len(sets) + 1
    assert "cannot be used; the last good settings are" in set_entry(app)


def set_entry(app: App) -> str:
    """The newest entry of a set."""
    return [text for text in app.journal().split("\n\n") if "*** Full Backup\n" in text][-1]
