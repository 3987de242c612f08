"""What the tests of open-check share: typing it, and looking at what it left."""

import json
from pathlib import Path
from typing import Any

from engine.openrecord import RECORD
from tests.commands.terminal import Printed, Terminal
from tests.engine.stories import App, tree


def check(terminal: Terminal, app: App, *words: str | Path) -> Printed:
    return terminal.types("open-check", app.package, *words)


def backed_up(terminal: Terminal, app: App) -> bytes:
    """One set, and a good look after it; the data as they are in the set."""
    app.backup()
    assert check(terminal, app).code == 0
    return app.data_file.read_bytes()


def record(app: App) -> dict[str, Any]:
    row = json.loads((app.package / "Logs" / RECORD).read_text())
    assert isinstance(row, dict)
    return row


def put_aside(app: App) -> list[Path]:
    return sorted(app.package.glob("Replaced files (*)"))


def live(app: App) -> dict[bytes, Any]:
    """Everything of the application but what lies in Logs."""
    return {
        path: facts for path, facts in tree(app.package).items() if not path.startswith(b"Logs")
    }
