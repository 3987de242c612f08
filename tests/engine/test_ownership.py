"""What root makes belongs to the owner of the folder it lies in, so that the service's user can go on with it."""

import os
from pathlib import Path

import pytest

from tests.engine.stories import App, make_app, pass_a_day

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away"),
]

SOMEBODY = 4711


@pytest.fixture
def app(tmp_path: Path) -> App:
    app = make_app(tmp_path)
    (app.package / "Logs").mkdir()
    for folder in (app.package / "Logs", app.destination):
        os.chown(folder, SOMEBODY, SOMEBODY)
    return app


def owners(folder: Path) -> dict[str, int]:
    return {path.name: path.lstat().st_uid for path in folder.rglob("*")}


def test_a_set_made_by_root_belongs_to_the_owner_of_the_backup_folder(app: App) -> None:
    folder = app.backup_set()

    assert set(owners(app.destination).values()) == {SOMEBODY}
    assert folder.lstat().st_uid == SOMEBODY


def test_lock_and_journal_made_by_root_belong_to_the_owner_of_logs(app: App) -> None:
    app.backup()

    assert owners(app.package / "Logs") == {
        ".backup4d.lock": SOMEBODY,
        "Backup Journal[001].txt": SOMEBODY,
    }


def test_a_history_replaced_by_root_keeps_its_owner(app: App) -> None:
    app.backup()
    pass_a_day(app)
    app.backup()

    assert owners(app.destination)["backupHistory.json"] == SOMEBODY
