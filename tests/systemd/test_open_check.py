"""The application's own unit under a real systemd: open-check before it, a destroyed data file, and a second one."""

import pytest

from tests.docs.pages import blocks
from tests.engine.logs import changes, log
from tests.engine.opening_stories import AUTOMATIC, real_data
from tests.systemd.databases import Database, database
from tests.systemd.machine import Machine

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

UNIT = "4d.service"


@pytest.fixture
def application(host: Machine) -> Database:
    """4D as a service, from the page, but for its program; with one set."""
    (text,) = [block for block in blocks("open-check.md", "ini") if "ExecStartPre=" in block]
    program = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    text = text.replace(program, "ExecStart=/bin/sh -c 'echo 4D is open; exec sleep 1000'")
    assert "/srv/4d/Invoices" in text
    it = database(host)
    it.due_in(1800, **AUTOMATIC)
    it.outside.data_file.write_bytes(real_data())
    it.outside.log.write_bytes(log(*changes(1, 15)))
    host.path(f"/etc/systemd/system/{UNIT}").write_text(text)
    host.does("systemctl", "daemon-reload")
    assert host.backup4d("backup", it.package, user="fourd").code == 0
    return it


def test_the_application_starts_on_a_destroyed_data_file_after_the_automatic_restore(
    application: Database,
) -> None:
    host, data_file = application.host, application.outside.data_file
    host.does("systemctl", "start", UNIT)
    host.does("systemctl", "stop", UNIT)
    data_file.write_bytes(b"")

    host.does("systemctl", "start", UNIT)

    assert host.shown("ActiveState", UNIT) == "active"
    assert data_file.read_bytes() == real_data()
    assert data_file.stat().st_uid == host.path("/srv/4d/Invoices").stat().st_uid
    assert "*** Automatic Full Backup Restore\n" in application.journal()
    said = host.said(UNIT)
    assert said.index("OK: ") < said.index("RESTORED: ") < said.rindex("4D is open")


def test_a_second_damage_keeps_the_application_from_starting_until_somebody_acts(
    application: Database,
) -> None:
    host, data_file = application.host, application.outside.data_file
    data_file.unlink()
    host.does("systemctl", "start", UNIT)
    host.does("systemctl", "stop", UNIT)
    data_file.write_bytes(b"")

    assert host.run("systemctl", "start", UNIT).code != 0

    assert data_file.read_bytes() == b""
    assert "no further automatic restore" in host.said(UNIT)
    line = "restore /srv/4d/Invoices --in-place --part data"
    assert host.backup4d(*line.split(), user="fourd").code == 0
    host.does("systemctl", "stop", UNIT)
    host.does("systemctl", "start", UNIT)
    assert host.shown("ActiveState", UNIT) == "active"
