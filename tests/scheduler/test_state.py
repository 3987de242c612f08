"""The state file: what goes in comes out, and what cannot be used is said to be so and nothing else."""

import json
import os
import stat
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.after import after_restart, after_settings_change
from scheduler.decide import decide
from scheduler.known import Failure, Halt, Known, Manual, Owed, Serving
from scheduler.slots import Slot
from scheduler.state import (
    LastRun,
    State,
    StateError,
    load_state,
    save_state,
    set_aside,
    state_file,
)
from settings.model import (
    Daily,
    Hourly,
    Monthly,
    Never,
    RetryAtNextSlot,
    RetryOnce,
    RetryUpTo,
    Unschedulable,
    Weekly,
)
from tests.scheduler.stories import NIGHTLY, ONCE, PARIS, at, halted, known_at, started

NOW = at("12 12:00")

walls = st.datetimes(datetime.fromisoformat("1971-01-01"), datetime.fromisoformat("2999-01-01"))
instants = walls.map(lambda wall: wall.replace(tzinfo=UTC))
clocks = st.times().map(lambda clock: clock.replace(microsecond=0, tzinfo=None))
everies = st.integers(1, 400)
weekdays = st.lists(st.integers(0, 6), min_size=1, max_size=7, unique=True)
words = st.text(max_size=50)
slots = st.builds(Slot, instants, walls, st.none() | words)
delays = st.integers(1, 10**6).map(lambda seconds: timedelta(seconds=seconds))
counts = st.integers(1, 99)
codes = st.integers(1401, 1417)
schedules = st.one_of(
    st.just(Never()),
    st.builds(Unschedulable, words),
    st.builds(Hourly, st.integers(1, 24), clocks),
    st.builds(Daily, everies, clocks),
    st.builds(
        Weekly,
        everies,
        weekdays.flatmap(
            lambda days: st.tuples(*(st.tuples(st.just(day), clocks) for day in sorted(days)))
        ),
    ),
    st.builds(Monthly, everies, st.integers(1, 31), clocks),
)
retries = st.one_of(
    st.just(RetryAtNextSlot()), st.builds(RetryOnce, delays), st.builds(RetryUpTo, delays, counts)
)
troubles = st.one_of(
    st.none(),
    st.builds(Owed, slots, counts, st.none() | slots),
    st.builds(Failure, slots, counts, instants, codes),
    st.builds(Halt, slots, counts, instants, codes),
)
runnings = st.one_of(
    st.none(), st.builds(Manual, instants), st.builds(Serving, slots, counts, instants)
)
zones = st.sampled_from(["Europe/Paris", "UTC", "Australia/Lord_Howe"]).map(ZoneInfo)
knowns = st.builds(
    Known,
    schedules,
    retries,
    zones,
    st.dates(date(1971, 1, 1), date(2999, 1, 1)),
    instants,
    troubles,
    runnings,
    st.none() | instants,
)
lasts = st.none() | st.builds(LastRun, instants, st.just(0) | codes, words, st.none() | counts)
states = st.builds(State, st.just("/srv/app"), knowns, lasts, st.none() | counts)


def a_state() -> State:
    """A state with everything in it: a run on, a schedule, a last run."""
    return State(
        "/srv/app", started(known_at("10 12:00"), "11 02:30"), LastRun(NOW, 1407, "no disk", None)
    )


def saved(folder: Path, state: State) -> Path:
    file = folder / "data-0.json"
    save_state(file, state)
    return file


def changed(file: Path, **values: object) -> Path:
    """The same file with other values in it, still JSON."""
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    return file


# --- round trip -----------------------------------------------------------------------------------


@given(state=states)
def test_what_is_saved_is_what_is_loaded(
    state: State, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = saved(tmp_path_factory.getbasetemp(), state)

    assert load_state(file) == state


def test_a_package_whose_name_is_not_text_survives(tmp_path: Path) -> None:
    name = os.fsdecode(b"/srv/caf\xe9")

    file = saved(tmp_path, State(name, known_at("10 12:00")))

    assert load_state(file) == State(name, known_at("10 12:00"))


def test_no_file_means_nothing_is_known(tmp_path: Path) -> None:
    assert load_state(tmp_path / "data-0.json") is None


# --- files that cannot be used --------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 4096,
        b"not json",
        b"[]",
        b"null",
        b"17",
        b'"backup4d-state"',
        b"{}",
        b'{"format": "backup4d-state"}',
        b'{"format": "backup4d-state", "version": "1"}',
        b'{"format": "backup4d-state", "version": 1}',
        b'{"format": "another", "version": 1}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"9" * 10_000,
        b" " * (1 << 20) + b"{}",
    ],
    ids=lambda data: repr(data[:24]),
)
def test_a_file_that_is_no_state_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "data-0.json"
    file.write_bytes(data)

    with pytest.raises(StateError):
        load_state(file)


def test_a_newer_version_is_refused_and_named(tmp_path: Path) -> None:
    file = changed(saved(tmp_path, a_state()), version=2)

    with pytest.raises(
        StateError, match="newer backup4d: it has version 2, this one reads up to 1"
    ):
        load_state(file)


@pytest.mark.parametrize("kind", ["folder", "fifo"])
def test_something_that_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "data-0.json"
    if kind == "folder":
        file.mkdir()
    else:
        os.mkfifo(file)

    with pytest.raises(StateError):
        load_state(file)


def test_every_truncated_file_is_refused(tmp_path: Path) -> None:
    file = saved(tmp_path, a_state())
    whole = file.read_bytes()

    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(StateError):
            load_state(file)


@pytest.mark.parametrize(
    "values",
    [
        {"zone": ""},
        {"zone": "Europe"},
        {"zone": "../../etc/passwd"},
        {"zone": "Europe/Atlantis"},
        {"zone": "a" * 5000},
        {"anchor": "2026-13-01"},
        {"answered_until": "2026-01-10T12:00:00"},
        {"answered_until": "9999-12-31T23:59:59+00:00"},
        {"answered_until": "0001-01-01T00:00:00+00:00"},
        {"schedule": {"rule": "Yearly"}},
        {"schedule": {"rule": "Hourly", "every": 0, "at": "00:00:00"}},
        {"schedule": {"rule": "Hourly", "every": 25, "at": "00:00:00"}},
        {"schedule": {"rule": "Daily", "every": -1, "at": "00:00:00"}},
        {"schedule": {"rule": "Daily", "every": 1, "at": "24:61"}},
        {"schedule": {"rule": "Daily", "every": 1, "at": "02:30:00+01:00"}},
        {"schedule": {"rule": "Weekly", "every": 1, "days": [[7, "00:00:00"]]}},
        {"schedule": {"rule": "Monthly", "every": 1, "day": 0, "at": "00:00:00"}},
        {"retry": {"policy": "for ever"}},
        {"retry": {"policy": "once", "seconds": 1e300}},
        {"retry": {"policy": "once", "seconds": -5}},
        {"retry": {"policy": "up to", "seconds": 60, "attempts": 0}},
        {"trouble": {"kind": "owed"}},
        {"trouble": "owed"},
        {"running": {"kind": "serving"}},
        {"running": {"kind": "resting", "began": "2026-01-10T12:00:00+00:00"}},
        {"last": {"ended": "yesterday"}},
    ],
    ids=lambda values: str(values)[:60],
)
def test_a_value_nothing_can_be_decided_from_is_refused(
    tmp_path: Path, values: dict[str, object]
) -> None:
    file = changed(saved(tmp_path, a_state()), **values)

    with pytest.raises(StateError):
        load_state(file)


@settings(deadline=None)
@given(data=st.data())
def test_after_any_flipped_bit_the_file_is_refused_or_can_be_decided_from(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    state = data.draw(st.sampled_from([a_state(), State("/srv/app", halted())]))
    file = saved(tmp_path_factory.getbasetemp(), state)
    content = bytearray(file.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(content)

    try:
        loaded = load_state(file)
    except StateError:
        return

    assert loaded is not None
    known = after_restart(loaded.known, NOW)
    decide(known, NOW)
    after_settings_change(known, NIGHTLY, ONCE, PARIS, NOW)


def test_an_unusable_file_is_kept_under_another_name(tmp_path: Path) -> None:
    file = tmp_path / "data-0.json"
    file.write_bytes(b"half a st")

    aside = set_aside(file, NOW)

    assert not file.exists()
    assert aside.name == "data-0.json.unusable-20260112T110000Z"
    assert aside.read_bytes() == b"half a st"


# --- saving ---------------------------------------------------------------------------------------


def test_a_failed_save_leaves_the_old_state(tmp_path: Path) -> None:
    file = saved(tmp_path, a_state())
    blocked = tmp_path / f".{file.name}.part"
    blocked.mkdir()

    with pytest.raises(IsADirectoryError):
        save_state(file, State("/srv/app", halted()))

    assert load_state(file) == a_state()


def test_nothing_but_the_state_stays_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "backup4d"

    save_state(folder / "data-0.json", a_state())
    save_state(folder / "data-0.json", a_state())

    assert [p.name for p in folder.iterdir()] == ["data-0.json"]


def test_others_cannot_read_the_state(tmp_path: Path) -> None:
    mode = stat.S_IMODE(saved(tmp_path, a_state()).stat().st_mode)

    assert mode & 0o007 == 0


def test_two_data_files_of_one_name_have_two_states(tmp_path: Path) -> None:
    one = state_file(tmp_path, Path("/srv/a/Data/data.4DD"))
    other = state_file(tmp_path, Path("/srv/b/Data/data.4DD"))

    assert one != other
    assert one == state_file(tmp_path, Path("/srv/a/Data/data.4DD"))


@pytest.mark.parametrize("letter", ["a", "数", "\U0001f5c4"])
def test_the_longest_name_of_a_data_file_can_be_saved_and_set_aside(
    tmp_path: Path, letter: str
) -> None:
    stem = letter * (250 // len(letter.encode()))
    file = state_file(tmp_path, Path("/srv") / f"{stem}.4DD")

    save_state(file, a_state())

    assert load_state(file) == a_state()
    assert set_aside(file, NOW).exists()


def test_a_schedule_hour_has_no_zone_when_it_comes_back(tmp_path: Path) -> None:
    file = saved(tmp_path, State("/srv/app", known_at("10 12:00", Daily(1, time(2, 30)))))

    loaded = load_state(file)

    assert loaded is not None
    assert loaded.known.schedule == Daily(1, time(2, 30))
