"""What these tests are handed."""

from pathlib import Path

import pytest

from tests.commands.terminal import Terminal, application
from tests.engine.stories import App


@pytest.fixture
def terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    return Terminal(tmp_path, monkeypatch, capsys.readouterr)


@pytest.fixture
def app(tmp_path: Path) -> App:
    return application(tmp_path)
