"""Targets: the small files beside a database, a set and the service."""

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

from engine.errors import EngineError, RestoreError
from engine.history import (
    HISTORY,
    event_rows,
    events_of,
    highest_number,
    load_history,
    save_history,
    with_event,
    with_sets,
)
from engine.lock import DATABASE_LOCK, current_holder, holding, instant_in, read_memory, read_traces
from engine.manifest import (
    CHECKSUMS,
    MANIFEST,
    iterate_members,
    parse_checksums,
    read_manifest,
    read_set_facts,
)
from engine.openrecord import RECORD, Record, load_record, save_record
from engine.setdigests import read_recorded
from engine.setsource import open_set
from engine.swap import Exchange, NewFolder, Swap, read_swap, write_swap
from scheduler.after import after_restart, after_sets_seen
from scheduler.decide import Run, decide
from scheduler.known import Known, Serving, watch
from scheduler.proof import Proof, drills_told, newest_drill, newest_verdicts, verifications_told
from scheduler.slots import slots_after
from scheduler.state import State, StateError, load_state, save_state
from settings.errors import SettingsError
from settings.explain import explain_settings
from settings.layout import DatabaseLayout
from settings.locate import locate_database
from settings.model import Daily, RetryOnce
from settings.paths import PathMap, resolve_path
from settings.reader import parse_settings
from settings.schema import diagnose
from settings.service_file import parse_service_file
from settings.writeback import plan_change
from tests.engine.stories import CORPUS, KEEP, make_app, settings_xml, stored
from tests.fuzz.target import Target, scratch

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FILE = Path("/srv/app/Settings/Backup.4DSettings")
STRUCTURE = "/srv/app/Project/App.4DProject"
_PARIS = ZoneInfo("Europe/Paris")
_MOST_MEMBERS = 1000


# --- XML ------------------------------------------------------------------------------------------


@cache
def _layout() -> DatabaseLayout:
    return locate_database(make_app(scratch("layout")).package)


def read_settings(data: bytes) -> None:
    """Whatever can be read can be explained, served and changed."""
    try:
        reading = parse_settings(data, FILE)
    except SettingsError:
        return
    settings = reading.settings
    assert explain_settings(settings, _layout())
    diagnose(data)
    with suppress(SettingsError):
        resolve_path(settings.destination, FILE.parents[1], PathMap())
    _live(watch(settings.schedule, settings.retry, _PARIS, NOW))
    try:
        changed = plan_change(data, "SetNumber/Value", "7", FILE)
    except SettingsError:
        return
    again = parse_settings(changed, FILE).settings
    assert replace(again, rotation=settings.rotation) == settings


def _settings() -> list[bytes]:
    corpus = sorted((CORPUS / "settings").glob("*.xml"))
    own = [
        settings_xml({}, []),
        settings_xml(
            {
                KEEP: "3",
                "Scheduler/Frequency": "Weekly",
                "Scheduler/Weekly/Every": "2",
                "Scheduler/Weekly/Monday/Save": "True",
                "Scheduler/Weekly/Monday/Hour": "02:30:00",
                "Advanced/BackupFailure/TryToBackupAfter": "00:01:00",
                "Advanced/FileSegmentation/DefaultSize": "100",
                "General/DestinationFolder": "/srv/backups/",
            },
            ["./Data/data.4DIndx", "C:\\Files\\x"],
        ),
    ]
    return own + [file.read_bytes() for file in corpus[:60]]


_SERVICE = b"""<?xml version="1.0" encoding="UTF-8"?>
<Backup4DService>
<TimeZone>Europe/Paris</TimeZone>
<Databases>
<Database><Package>/srv/app</Package></Database>
<Database><Package>/srv/other</Package><DataFile>/srv/other/Data/two.4DD</DataFile></Database>
</Databases>
<PathMap><Map><From>D:\\</From><To>/srv/d</To></Map></PathMap>
<Limits><ParallelBackups>2</ParallelBackups></Limits>
</Backup4DService>
"""


def read_service_file(data: bytes) -> None:
    """It is understood as a whole, or refused."""
    try:
        parse_service_file(data, FILE)
    except SettingsError:
        return


def _service_files() -> list[bytes]:
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text("utf-8")
    shown = [part.partition("```")[0] for part in page.split("```xml\n")[1:]]
    return [_SERVICE, *(text.encode() for text in shown if "Backup4DService" in text)]


# --- beside the sets ------------------------------------------------------------------------------


def read_history(data: bytes) -> None:
    """A history is read or called damaged; what is read can be added to, saved, and is read again."""
    folder = scratch("history")
    (folder / HISTORY).write_bytes(data)
    loaded = load_history(folder)
    document = loaded.document
    assert highest_number(document, STRUCTURE) >= 0
    for kind in ("backup", "drill", "verify"):
        events_of(document, STRUCTURE, kind)
        rows = event_rows(document, STRUCTURE, kind)
        newest_drill(*drills_told(rows))
        newest_verdicts(verifications_told(rows))
    if loaded.damage is not None:
        return
    new = with_event(with_sets(document, STRUCTURE, [stored(3)]), {"event": "backup"})
    save_history(folder, new)
    again = load_history(folder)
    assert again.damage is None
    assert highest_number(again.document, STRUCTURE) >= 3


def _histories() -> list[bytes]:
    sets = with_sets({}, STRUCTURE, [stored(1), stored(2)])
    for kind, extra in (
        ("backup", {"scheduledDate": "2026-01-01T02:30:00.000Z"}),
        ("drill", {"set": "data[0002]", "duration": 12.5}),
        ("verify", {"set": "data[0002]"}),
    ):
        event = {
            "event": kind,
            "structurePath": STRUCTURE,
            "startingDate": "2026-01-01T02:30:00.000Z",
            "endingDate": "2026-01-01T02:31:00.000Z",
            "status": 0,
            "error": "",
            **extra,
        }
        sets = with_event(sets, event)
    corpus = sorted((CORPUS / "history").glob("*.json"))
    return [json.dumps(sets, indent="\t").encode(), *(one.read_bytes() for one in corpus[:20])]


def read_set(data: bytes) -> None:
    """A manifest is read to its end, or refused."""
    folder = scratch("manifest")
    (folder / MANIFEST).write_bytes(data)
    for read in (
        read_set_facts,
        read_manifest,
        open_set,
        lambda folder: list(islice(iterate_members(folder), _MOST_MEMBERS)),
    ):
        try:
            read(folder)
        except EngineError:
            continue


@cache
def _set() -> Path:
    return make_app(scratch("set")).backup_set()


def _manifests() -> list[bytes]:
    return [(_set() / MANIFEST).read_bytes()]


def read_sums(data: bytes) -> None:
    """Any text gives digests by name, and none that is not one."""
    folder = scratch("sums")
    (folder / CHECKSUMS).write_bytes(data)
    (folder / MANIFEST).write_bytes(_manifests()[0])
    parse_checksums(data.decode("utf-8", "surrogateescape"))
    recorded = read_recorded(folder)
    assert all(len(digest) == 64 for digest in recorded.sums.values())


def _sums() -> list[bytes]:
    return [(_set() / CHECKSUMS).read_bytes(), b"\\" + b"0" * 64 + b"  new\\nline\n"]


# --- beside the database --------------------------------------------------------------------------


def read_lock(data: bytes) -> None:
    """What a dead run left is read, or is nothing; the lock can always be taken and written."""
    file = scratch("lock") / "Logs" / DATABASE_LOCK
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)
    for record in (read_memory(file), read_traces(file) or {}, current_holder(file) or {}):
        instant_in(record, "since")
    with holding(file, "a test") as lock:
        lock.note({"doing": "a test"})
        lock.remember({**lock.memory, "number": 7})
    assert read_memory(file)["number"] == 7
    assert read_traces(file) == {"doing": "a test"}


def _locks() -> list[bytes]:
    file = scratch("lock-seed") / "Logs" / DATABASE_LOCK
    with holding(file, "a backup", NOW.isoformat()) as lock:
        lock.note({"doing": "a backup", "since": NOW.isoformat(), "staging": "/srv/backups/x"})
        lock.remember({"number": 6, "destination": "/srv/backups", "separate": True})
    return [file.read_bytes()]


def read_exchange(data: bytes) -> None:
    """The record of a restore in place is obeyed as written, or refused."""
    file = scratch("swap") / "swap.json"
    file.write_bytes(data)
    try:
        read_swap(file)
    except RestoreError:
        return


def _exchanges() -> list[bytes]:
    file = scratch("swap-seed") / "swap.json"
    one = Exchange(
        Path("/srv/app/Data"), Path("/srv/new"), Path("/srv/aside"), had_live=True, inode=5
    )
    gone = Exchange(Path("/srv/app/Old"), None, Path("/srv/aside/Old"), had_live=True, inode=0)
    write_swap(file, Swap((one, gone), (NewFolder(Path("/srv/aside"), 0o700, 0, 0),)))
    return [file.read_bytes()]


def read_open_check(data: bytes) -> None:
    """A record is used or forgotten; what is used can be written again."""
    folder = scratch("opencheck")
    (folder / RECORD).write_bytes(data)
    record = load_record(folder)
    try:
        save_record(folder, record)
    except PermissionError:  # that of a newer release is never written over
        assert record == Record()
        return
    assert load_record(folder) == record


def _open_checks() -> list[bytes]:
    look = {
        "at": NOW.isoformat(),
        "data_file": "Data/data.4DD",
        "size": 131584,
        "used": 4096,
        "last": 7,
        "datalink": "00" * 16,
        "identity": "11" * 16,
        "places": [0, 4096],
        "has_log": True,
        "mount": "/",
    }
    head = {"format": "backup4d-open-check", "version": 1}
    rest = {"restored": NOW.isoformat(), "confirmed": True, "begun": 1, "told": "x"}
    return [json.dumps({**head, "look": look, **rest}).encode()]


# --- the service's --------------------------------------------------------------------------------


def read_state(data: bytes) -> None:
    """A state is used or called unusable; what is used leads to a decision, and is written as it was."""
    file = scratch("state") / "data.json"
    file.write_bytes(data)
    try:
        state = load_state(file)
    except StateError:
        return
    assert state is not None
    save_state(file, state)
    assert load_state(file) == state
    _live(state.known)


def _live(known: Known) -> None:
    """A night of the service with what is known."""
    seen = after_sets_seen(known, frozenset({NOW - timedelta(hours=9)}), NOW)
    for one in (known, seen, after_restart(seen, NOW)):
        assert decide(one, NOW) is not None
        list(islice(slots_after(one.schedule, NOW, one.anchor, one.zone), 3))


def _states() -> list[bytes]:
    found = []
    known = watch(
        Daily(1, NOW.time()), RetryOnce(timedelta(minutes=1)), _PARIS, NOW - timedelta(days=3)
    )
    decision = decide(known, NOW)
    assert isinstance(decision, Run)
    running = replace(known, running=Serving(decision.slot, 1, NOW))
    for one in (known, running):
        file = scratch("state-seed") / "data.json"
        save_state(file, State("/srv/app", one, number=6, proof=Proof(asked=NOW, scrubbed=3)))
        found.append(file.read_bytes())
    return found


TARGETS = (
    Target("settings", read_settings, _settings),
    Target("service-file", read_service_file, _service_files),
    Target("history", read_history, _histories),
    Target("manifest", read_set, _manifests),
    Target("sums", read_sums, _sums),
    Target("lock", read_lock, _locks),
    Target("exchange", read_exchange, _exchanges),
    Target("open-check", read_open_check, _open_checks),
    Target("state", read_state, _states),
)
