"""A log is read wherever it lies, as it was when it was opened, and nothing is written to it."""

import hashlib
from pathlib import Path

import pytest

from engine.errors import DamagedError, MissingSetError
from engine.logcheck import check_log
from engine.logfile import LogUnreadableError, read_log_facts
from engine.loglist import Listing
from engine.logsource import OpenLog, open_log, tables_for
from engine.logtables import CATALOG, Tables
from tests.engine.logs import Bytes, members_of_archive
from tests.engine.real_shapes import OTHER_TABLE, TABLE, LogMaker, morning
from tests.engine.stories import COMPRESSION, CORPUS, App, make_app

ARCHIVED = CORPUS / "archives" / "archive-003 Sample[0000].4BL"
NO_LOG = CORPUS / "archives" / "archive-001 data[0001].4BK"
real = pytest.mark.skipif(not ARCHIVED.is_file(), reason="the corpus is not beside the project")
CONTENT = morning().content()
XML = f'<base><table name="Invoices" uuid="{TABLE.hex()}"/><table name="Visits" uuid="{OTHER_TABLE.hex()}"/></base>'


def content_of(log: OpenLog) -> bytes:
    return log.reader.read(0, log.reader.size)


@pytest.fixture(params=["Fast", "None"])
def app(tmp_path: Path, request: pytest.FixtureRequest) -> App:
    app = make_app(tmp_path, {COMPRESSION: request.param})
    app.log.write_bytes(CONTENT)
    (app.package / CATALOG).write_text(XML)
    return app


def test_a_live_log_is_read_at_the_length_it_had(app: App) -> None:
    with open_log(app.log) as log:
        with app.log.open("ab") as end:
            end.write(LogMaker(number=51).add(7).parts[0])
        found = list(Listing(log.reader))

    assert len(found) == 20
    assert app.log.stat().st_size == len(CONTENT) + 44


def test_reading_a_log_leaves_no_trace_on_it(app: App) -> None:
    before = (hashlib.sha256(app.log.read_bytes()).digest(), app.log.stat().st_mtime_ns)

    with open_log(app.log) as log:
        check_log(log.reader)

    assert (hashlib.sha256(app.log.read_bytes()).digest(), app.log.stat().st_mtime_ns) == before


def test_a_log_that_may_not_be_written_to_is_read(app: App) -> None:
    app.log.chmod(0o400)

    with open_log(app.log) as log:
        assert content_of(log) == CONTENT


def test_the_log_in_a_set_is_read_by_its_folder_and_by_its_archive(app: App) -> None:
    folder = app.backup_set()
    archive = next(folder.glob("*.journal*"))

    for path in (folder, archive):
        with open_log(path) as log:
            assert content_of(log) == CONTENT
            assert log.set_folder == folder


def test_a_set_without_a_log_says_so(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.log.unlink()
    folder = app.backup_set()

    with pytest.raises(MissingSetError, match="no set that holds a log"), open_log(folder):
        pass


def test_a_damaged_archive_of_a_log_is_damaged(app: App) -> None:
    folder = app.backup_set()
    archive = next(folder.glob("*.journal*"))
    content = bytearray(archive.read_bytes())
    content[60] ^= 1
    archive.write_bytes(content)

    with pytest.raises(DamagedError), open_log(folder) as log:
        check_log(log.reader)


def test_a_packed_log_away_from_its_set_is_refused_with_a_way_on(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.log.write_bytes(CONTENT)
    archive = next(app.backup_set().glob("*.journal.zst"))
    alone = tmp_path / archive.name
    alone.write_bytes(archive.read_bytes())

    with pytest.raises(LogUnreadableError, match="archive of a set's log") as caught:
        open_log(alone).__enter__()

    assert "zstd -d" in caught.value.hint


def test_a_segment_that_4d_made_beside_a_set_is_a_log_of_its_own(app: App) -> None:
    folder = app.backup_set()
    segment = folder / "data[0004-0001].journal"
    segment.write_bytes(LogMaker().add(7).content())

    with open_log(segment) as log:
        assert (log.set_folder, log.reader.size) == (None, 68)


@real
def test_a_log_in_an_archive_of_4d_is_unpacked_and_nothing_of_it_stays() -> None:
    (expected,) = members_of_archive(ARCHIVED.read_bytes()).values()

    with open_log(ARCHIVED) as log:
        assert content_of(log) == expected
        assert read_log_facts(log.reader) == read_log_facts(Bytes(expected))


@real
def test_an_archive_of_4d_without_a_log_says_so() -> None:
    with pytest.raises(MissingSetError, match="holds no log"), open_log(NO_LOG):
        pass


@real
def test_a_damaged_archive_of_4d_gives_no_log(tmp_path: Path) -> None:
    content = bytearray(ARCHIVED.read_bytes())
    content[-20] ^= 1
    file = tmp_path / "data[0000].4BL"
    file.write_bytes(content)

    with pytest.raises(DamagedError), open_log(file):
        pass


def test_an_unknown_header_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "data.journal"
    file.write_bytes(b"GOx4ATAD" + bytes(50))

    with pytest.raises(LogUnreadableError, match=r"data\.journal: .* may be encrypted"):
        open_log(file).__enter__()


def test_names_of_tables_come_from_the_application_the_set_or_what_is_named(app: App) -> None:
    folder = app.backup_set()
    named = {TABLE: "Invoices", OTHER_TABLE: "Visits"}

    for path, structure in (
        (app.log, None),
        (folder, None),
        (app.log, app.package),
        (folder, app.package / CATALOG),
    ):
        with open_log(path) as log:
            assert tables_for(log, structure).names == named


def test_without_a_structure_there_are_no_names(tmp_path: Path) -> None:
    file = tmp_path / "data.journal"
    file.write_bytes(CONTENT)
    app = make_app(tmp_path / "other")
    app.log.write_bytes(CONTENT)
    folder = app.backup_set()

    for path in (file, folder):
        with open_log(path) as log:
            assert tables_for(log, None) == Tables()
