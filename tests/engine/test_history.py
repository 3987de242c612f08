"""backupHistory.json keeps 4D's shape, loses nothing that others wrote, and comes back when it is damaged."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.history import (
    events_of,
    highest_number,
    load_history,
    save_history,
    set_aside,
    set_record,
    utc_text,
    with_event,
    with_sets,
)
from tests.engine.stories import CORPUS, KEEP, make_app, pass_a_day, stored

STRUCTURE = "/srv/app/Project/App.4DProject"
REAL = sorted((CORPUS / "history").glob("*.json"))
real = pytest.mark.skipif(not REAL, reason="the corpus of real histories is not beside the project")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def write(folder: Path, document: object) -> None:
    (folder / "backupHistory.json").write_text(json.dumps(document))


# --- records --------------------------------------------------------------------------------------


def test_a_record_has_4ds_keys_with_true_values() -> None:
    assert set_record(stored(93)) == {
        "backupPath": "/srv/backups/data[0093]/data[0093].tar.zst",
        "structurePath": STRUCTURE,
        "dataPath": "/srv/app/Data/data.4DD",
        "logPath": "/srv/backups/data[0093]/data[0092].journal.zst",
        "startingDate": "2026-04-04T02:30:00.000Z",
        "endingDate": "2026-04-04T02:30:27.268Z",
        "scheduledDate": "2026-04-04T02:30:00.000Z",
        "status": 0,
        "backupNumber": 93,
        "duration": 27268,
        "attachments": [{"attachmentPath": "/srv/app/Data/data.4DIndx", "found": True}],
    }


@real
@pytest.mark.parametrize("file", REAL, ids=lambda file: file.name)
def test_a_record_has_the_keys_of_real_ones_in_their_order(file: Path) -> None:
    ours = list(set_record(stored(1)))

    for records in json.loads(file.read_text("utf-8-sig")).values():
        for record in records:
            assert [key for key in ours if key in record] == list(record)
            for attachment in record["attachments"]:
                assert list(attachment) == ["attachmentPath", "found"]


def test_a_partial_set_has_an_error_status() -> None:
    record = set_record(stored(1, complete=False, missing=("/srv/app/Data/data.4DIndx",)))

    assert record["status"] == 1409
    assert record["attachments"] == [
        {"attachmentPath": "/srv/app/Data/data.4DIndx", "found": False}
    ]


def test_a_set_without_log_has_an_empty_path() -> None:
    assert set_record(stored(1, files=(("main", "a.tar"),)))["logPath"] == ""


def test_attachments_are_listed_backwards_as_4d_does() -> None:
    record = set_record(stored(1, attachments=("/a", "/b", "/c")))

    assert [row["attachmentPath"] for row in record["attachments"]] == ["/c", "/b", "/a"]


def test_a_clock_that_ran_backwards_gives_no_negative_duration() -> None:
    early = datetime(2020, 1, 1, tzinfo=UTC)

    assert set_record(stored(1, ended=early))["duration"] == 0


def test_dates_are_utc_with_milliseconds() -> None:
    zone = datetime.fromisoformat("2024-08-13T00:00:02.094999+02:00")

    assert utc_text(zone) == "2024-08-12T22:00:02.094Z"


# --- the document ---------------------------------------------------------------------------------


def test_records_stand_oldest_first_whatever_the_order_of_the_sets() -> None:
    document = with_sets({}, STRUCTURE, [stored(10_000), stored(9), stored(9_999)])

    assert [record["backupNumber"] for record in document[STRUCTURE]] == [9, 9_999, 10_000]


def test_our_structure_is_the_first_key() -> None:
    document = with_sets({"backup4d": [], "other": []}, STRUCTURE, [stored(1)])

    assert list(document) == [STRUCTURE, "backup4d", "other"]


def test_removed_sets_leave_the_history() -> None:
    document = with_sets({}, STRUCTURE, [stored(1), stored(2), stored(3)])

    document = with_sets(document, STRUCTURE, [stored(2), stored(3)])

    assert [record["backupNumber"] for record in document[STRUCTURE]] == [2, 3]


def test_keys_that_others_added_survive() -> None:
    document = with_sets({"strange": {"a": [1]}}, STRUCTURE, [stored(1)])
    document[STRUCTURE][0]["note"] = "kept on tape 7"

    document = with_sets(document, STRUCTURE, [stored(1), stored(2)])

    assert document["strange"] == {"a": [1]}
    assert document[STRUCTURE][0]["note"] == "kept on tape 7"


@pytest.mark.parametrize("damage", [("data[", "datq["), ("]", "}")])
def test_a_record_that_names_another_folder_is_corrected_and_keeps_what_others_added(
    damage: tuple[str, str],
) -> None:
    document = with_sets({}, STRUCTURE, [stored(1)])
    good = dict(document[STRUCTURE][0])
    document[STRUCTURE][0]["note"] = "kept on tape 7"
    document[STRUCTURE][0]["backupPath"] = good["backupPath"].replace(*damage, 1)

    document = with_sets(document, STRUCTURE, [stored(1)])

    assert document[STRUCTURE] == [{**good, "note": "kept on tape 7"}]


@given(others=st.dictionaries(st.text().filter(lambda key: key != STRUCTURE), JSON, max_size=4))
def test_whatever_stands_beside_our_sets_survives(others: dict[str, Any]) -> None:
    document = with_sets(others, STRUCTURE, [stored(1)])

    assert {key: value for key, value in document.items() if key != STRUCTURE} == others


@given(numbers=st.sets(st.integers(1, 12_000), max_size=8))
def test_bringing_it_up_to_date_twice_changes_nothing(numbers: set[int]) -> None:
    sets = [stored(number) for number in numbers]
    once = with_sets({}, STRUCTURE, sets)

    assert with_sets(once, STRUCTURE, sets) == once


def test_events_are_capped_and_the_oldest_go() -> None:
    document: dict[str, Any] = with_sets({}, STRUCTURE, [stored(1)])
    for number in range(510):
        document = with_event(document, {"event": "backup", "number": number})

    events = document["backup4d"]
    assert len(events) == 500
    assert (events[0]["number"], events[-1]["number"]) == (10, 509)
    assert document[STRUCTURE] == [set_record(stored(1))]


def test_an_event_that_cannot_be_read_is_left_out() -> None:
    good = {
        "event": "verification",
        "structurePath": STRUCTURE,
        "endingDate": "2026-01-01T00:00:00.000Z",
        "status": 1411,
        "error": "damaged",
    }
    document = {"backup4d": [5, {}, {**good, "endingDate": "x"}, good, {**good, "event": "backup"}]}

    found = events_of(document, STRUCTURE, "verification")

    assert found == [(datetime(2026, 1, 1, tzinfo=UTC), 1411, "damaged")]


@pytest.mark.parametrize(
    "document",
    [{}, {STRUCTURE: None}, {STRUCTURE: [None, 5, {}]}, {STRUCTURE: [{"backupNumber": "x"}]}],
)
def test_odd_documents_know_no_number(document: dict[str, Any]) -> None:
    assert highest_number(document, STRUCTURE) == 0


# --- real ones ------------------------------------------------------------------------------------


@real
@pytest.mark.parametrize("file", REAL, ids=lambda file: file.name)
def test_a_real_history_of_4d_survives_whole(file: Path, tmp_path: Path) -> None:
    (tmp_path / "backupHistory.json").write_bytes(file.read_bytes())
    loaded = load_history(tmp_path)
    structure, records = next(iter(loaded.document.items()))
    number = highest_number(loaded.document, structure)

    document = with_sets(loaded.document, structure, [stored(number + 1)])
    save_history(tmp_path, document)

    assert loaded.damage is None
    assert number == max(record["backupNumber"] for record in records)
    after = json.loads((tmp_path / "backupHistory.json").read_text("utf-8"))
    assert after.pop(structure)[:-1] == records
    assert after == {key: rows for key, rows in loaded.document.items() if key != structure}


@real
@pytest.mark.parametrize("file", REAL, ids=lambda file: file.name)
def test_an_unchanged_history_keeps_its_bytes(file: Path, tmp_path: Path) -> None:
    """Same tabs, same order, no final line end: what compares files sees only what was added."""
    (tmp_path / "backupHistory.json").write_bytes(file.read_bytes())

    save_history(tmp_path, load_history(tmp_path).document)

    written = (tmp_path / "backupHistory.json").read_text("utf-8")
    assert written.splitlines() == file.read_text("utf-8-sig").replace("\\/", "/").splitlines()


# --- the file -------------------------------------------------------------------------------------


def test_no_history_is_no_damage(tmp_path: Path) -> None:
    loaded = load_history(tmp_path)

    assert (loaded.document, loaded.damage) == ({}, None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"a": 1} x',
        b"\xff\xfe{\x00}\x00",
        b"\0" * 100,
        b"[" * 100_000,
        b'{"a":' * 20_000,
        b'{"a": ' + b"9" * 10_000 + b"}",
    ],
)
def test_what_is_no_history_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "backupHistory.json").write_bytes(content)

    loaded = load_history(tmp_path)

    assert loaded.document == {}
    assert loaded.damage


def test_a_byte_order_mark_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "backupHistory.json").write_bytes(b'\xef\xbb\xbf{"a": []}')

    assert load_history(tmp_path).document == {"a": []}


def test_names_that_are_no_utf8_come_back(tmp_path: Path) -> None:
    document = {"/srv/caf\udce9/App.4DProject": [{"backupNumber": 1}]}

    save_history(tmp_path, document)

    assert load_history(tmp_path).document == document


def test_saving_leaves_no_other_file(tmp_path: Path) -> None:
    (tmp_path / ".backupHistory.json.part").write_bytes(b"torn")

    save_history(tmp_path, {"a": []})

    assert [p.name for p in tmp_path.iterdir()] == ["backupHistory.json"]


def test_a_damaged_history_is_set_aside_under_the_time(tmp_path: Path) -> None:
    (tmp_path / "backupHistory.json").write_bytes(b"{")

    aside = set_aside(tmp_path, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))

    assert aside.name == "backupHistory.damaged-20260102T030405Z.json"
    assert aside.read_bytes() == b"{"
    assert not (tmp_path / "backupHistory.json").exists()


# --- in a run -------------------------------------------------------------------------------------


def test_a_damaged_history_is_rebuilt_from_the_manifests_and_journaled(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    for _ in range(2):
        app.backup()
        pass_a_day(app)
    before = app.records()
    (app.destination / "backupHistory.json").write_bytes(b'{"half')

    app.backup()

    assert app.records()[:2] == before
    assert [record["backupNumber"] for record in app.records()] == [1, 2, 3]
    (aside,) = app.destination.glob("backupHistory.damaged-*.json")
    assert aside.read_bytes() == b'{"half'
    assert "*** History rebuilt" in app.journal()
    assert f"is kept as {aside}" in app.journal()
    assert "It was rebuilt from the manifests of the sets" in app.journal()


@pytest.mark.parametrize("depth", [300, 900, 990])
def test_a_history_nested_beyond_reason_does_not_stop_the_backup(
    tmp_path: Path, depth: int
) -> None:
    app = make_app(tmp_path)
    text = '{"other": ' + "[" * depth + "]" * depth + "}"
    (app.destination / "backupHistory.json").write_text(text)

    outcome = app.backup()

    assert outcome.folder is not None
    assert "*** Full Backup\n" in app.journal()
    assert [record["backupNumber"] for record in app.records()] == [1]


def test_records_of_4d_stay_beside_ours(tmp_path: Path) -> None:
    app = make_app(tmp_path, {KEEP: "1"})
    theirs = {"backupPath": "C:\\b\\data[0001].4BK", "backupNumber": 1, "status": -1}
    write(app.destination, {app.layout.key: [theirs], "C:\\other": [theirs]})

    for _ in range(3):
        app.backup()
        pass_a_day(app)

    assert app.records()[0] == theirs
    assert [record["backupNumber"] for record in app.records()] == [1, 4]
    assert app.history()["C:\\other"] == [theirs]


def test_times_in_the_history_are_those_of_the_run(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    slot = app.clock.now() - timedelta(minutes=2)

    app.backup(scheduled=slot)

    (record,) = app.records()
    assert record["scheduledDate"] == utc_text(slot)
    assert record["startingDate"] > record["scheduledDate"]
    assert record["endingDate"] >= record["startingDate"]
