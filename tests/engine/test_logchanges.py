"""BackupIfDataChange goes by the operations in the log that change data; what it cannot tell, the files do."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.logchanges import Changes, changes_by_log, is_all_logged
from engine.logtables import CATALOG
from tests.engine.logs import DATALINK, START, data_file, link_block, log
from tests.engine.real_shapes import TABLE, LogMaker, context_values, sequence
from tests.engine.stories import ONLY_IF_CHANGED, App, make_app

SLOT = datetime(2026, 1, 12, 2, 30, tzinfo=UTC)
CONDITION = {ONLY_IF_CHANGED: "True", "Scheduler/Frequency": "Daily"}
LOGGED = f'<base><table name="Invoices" uuid="{TABLE.hex()}"/></base>'
UNLOGGED = LOGGED.replace("/><", ' prevent_journaling="true"/><')


def began() -> LogMaker:
    return LogMaker(number=5).add(7).add(23, sequence(1))


@pytest.fixture
def app(tmp_path: Path) -> App:
    """An application with one set that has all of its log."""
    app = make_app(tmp_path, CONDITION)
    (app.package / CATALOG).write_text(LOGGED)
    app.log.write_bytes(began().content())
    app.data_file.write_bytes(data_file(6, [link_block(DATALINK)]))
    app.backup_set()
    return app


def told(app: App) -> Changes:
    return changes_by_log(app.layout, app.destination / "data[0001]")


def quiet() -> LogMaker:
    """Opened, closed, a context, an empty transaction, a backup of 4D's own: nothing changed."""
    made = began().add(22, context_values(), context=1).add(30, context=-1).add(31, context=-1)
    return made.add(16, context=1).add(8).add(20)


def test_notes_and_empty_transactions_are_no_changes(app: App) -> None:
    assert told(app) is Changes.NONE

    app.log.write_bytes(quiet().content())

    assert told(app) is Changes.NONE


@pytest.mark.parametrize("kind", [21, 23, 24, 25, 26, 27, 28, 29])
def test_each_kind_that_changes_data_counts(app: App, kind: int) -> None:
    app.log.write_bytes(quiet().add(kind).content())

    assert told(app) is Changes.SOME


@pytest.mark.parametrize(
    ("kind", "expected"), [(1, Changes.SOME), (3, Changes.SOME), (5, Changes.NONE)]
)
def test_the_old_format_counts_too(tmp_path: Path, kind: int, expected: Changes) -> None:
    app = make_app(tmp_path)
    made = LogMaker(is_old=True).add(7)
    app.log.write_bytes(made.content())
    app.backup_set()

    app.log.write_bytes(made.add(4).add(kind).content())

    assert told(app) is expected


def test_a_log_that_4d_renewed_still_tells(app: App) -> None:
    renewed = LogMaker(number=6, time=START + timedelta(days=1)).add(7)
    app.log.write_bytes(renewed.content())
    assert told(app) is Changes.NONE

    app.log.write_bytes(renewed.add(24).content())
    assert told(app) is Changes.SOME

    app.log.write_bytes(LogMaker(number=9, time=START + timedelta(days=1)).add(7).content())
    assert told(app) is Changes.SOME


@pytest.mark.parametrize(
    "content",
    [
        b"encrypted",
        log(),
        began().content()[:-1],
        LogMaker(number=0, time=START + timedelta(days=1)).add(7).content(),
        log(datalink=bytes(16)),
        # its number goes on, but it was written before the one in the set: an older copy
        LogMaker(number=6, time=START - timedelta(days=1)).add(7).content(),
    ],
)
def test_what_the_log_cannot_tell_is_not_known(app: App, content: bytes) -> None:
    app.log.write_bytes(content)

    assert told(app) is Changes.NOT_KNOWN


def test_without_a_log_nothing_is_known(app: App) -> None:
    app.log.unlink()

    assert told(app) is Changes.NOT_KNOWN


def test_an_empty_log_in_the_set_tells_nothing(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.log.write_bytes(log())
    app.backup_set()
    app.log.write_bytes(began().content())

    assert told(app) is Changes.NOT_KNOWN


# --- a backup that goes by it


def is_postponed(app: App) -> bool:
    return app.backup(scheduled=SLOT).folder is None


def test_a_log_with_nothing_new_postpones_the_backup(app: App) -> None:
    app.log.write_bytes(quiet().content())

    assert is_postponed(app)
    assert "*** Backup postponed" in app.journal()


def test_a_change_in_the_log_makes_a_backup_though_the_files_look_the_same(app: App) -> None:
    app.log.write_bytes(quiet().add(25).content())

    assert not is_postponed(app)


def test_where_a_table_is_not_logged_the_data_file_decides(app: App) -> None:
    (app.package / CATALOG).write_text(UNLOGGED)
    app.log.write_bytes(quiet().content())
    assert not is_all_logged(app.layout)
    assert is_postponed(app)

    content = bytearray(app.data_file.read_bytes())
    content[-1] ^= 1
    app.data_file.write_bytes(content)

    assert not is_postponed(app)


def test_where_every_table_is_logged_the_log_decides_alone(app: App) -> None:
    assert is_all_logged(app.layout)
    content = bytearray(app.data_file.read_bytes())
    content[-1] ^= 1  # as 4D leaves it that only opened and closed it
    app.data_file.write_bytes(content)

    assert is_postponed(app)


@pytest.mark.parametrize("data", [data_file(6, [link_block(DATALINK)], size=140_000), data_file(5)])
def test_another_data_file_is_a_change_whatever_the_log_says(app: App, data: bytes) -> None:
    app.data_file.write_bytes(data)

    assert not is_postponed(app)


def test_without_a_structure_the_files_decide(app: App) -> None:
    (app.package / CATALOG).unlink()

    assert not is_all_logged(app.layout)
    assert is_postponed(app)
