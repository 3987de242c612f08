"""restore --latest where what was shipped is damaged or gone: what is proved is placed, what is lost is named, code 3."""

from pathlib import Path

import pytest

from tests.commands.shipping import check_latest, lose, serve, ship
from tests.commands.terminal import Terminal
from tests.engine.stories import App
from tests.engine.stream_stories import add, shipping_app, stream_of


@pytest.fixture
def app(tmp_path: Path) -> App:
    return shipping_app(tmp_path)


@pytest.fixture
def back(tmp_path: Path) -> Path:
    return tmp_path / "back"


def flipped(content: bytes) -> bytes:
    return content[:-60] + bytes([content[-60] ^ 1]) + content[-59:]


def cut(content: bytes) -> bytes:
    return content[:-20]


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (flipped, "bytes {good} to {end} do not have the digest in its ledger"),
        (cut, "it ends at byte {size}, {end} were shipped"),
    ],
)
@pytest.mark.parametrize("is_live_there", [False, True])
def test_what_was_shipped_and_is_damaged_is_told_and_what_is_proved_is_placed(
    terminal: Terminal, app: App, back: Path, damage: object, what: str, is_live_there: bool
) -> None:
    add(app, 11, 20)
    ship(app)
    proved = app.log.read_bytes()
    add(app, 21, 50)
    ship(app)
    whole = app.log.read_bytes()
    data = stream_of(app) / "0001.journal"
    data.write_bytes(damage(data.read_bytes()))  # type: ignore[operator]
    what = what.format(good=len(proved), end=len(whole), size=data.stat().st_size)
    if not is_live_there:
        lose(app)
    target, content = (app.package, whole) if is_live_there else (app.destination, proved)

    said = check_latest(terminal, back, target, content, code=0 if is_live_there else 3)

    lost = "operations 21 to 50, which were shipped, cannot be brought back from here"
    assert (lost in said) is not is_live_there
    assert (
        f"counts only as far as its ledger proves it: it is damaged behind byte {len(proved)}: {what}"
        in said
    )
    assert "by its ledger operation 50 was shipped" in said
    assert "whether the chain is unbroken is not known" in said
    assert "the chain is unbroken:" not in said


def test_a_shipped_log_of_which_nothing_is_proved_is_not_called_empty(
    terminal: Terminal, app: App, back: Path
) -> None:
    whole = app.log.read_bytes()
    add(app, 11, 50)
    ship(app)
    data = stream_of(app) / "0001.journal"
    data.write_bytes(flipped(data.read_bytes()))
    end = data.stat().st_size
    lose(app)

    said = check_latest(terminal, back, app.destination, whole, code=3)

    assert (
        f"is not placed: it is damaged behind byte 0: bytes 0 to {end} do not have the digest"
        in said
    )
    assert (
        f"by its ledger operation 50 was shipped; `backup4d log check {data}` shows what is readable"
        in said
    )
    assert "too few for a log" not in said
    assert "the chain is unbroken:" not in said


def test_a_shipped_log_that_is_gone_is_told(terminal: Terminal, app: App, back: Path) -> None:
    whole = app.log.read_bytes()
    add(app, 11, 50)
    ship(app)
    (stream_of(app) / "0001.journal").unlink()
    lose(app)

    said = check_latest(terminal, back, app.destination, whole, code=3)

    assert "is not placed: it cannot be read: No such file" in said
    assert "by its ledger operation 50 was shipped" in said
    assert "the chain is unbroken:" not in said


@pytest.mark.parametrize("is_live_there", [False, True])
def test_a_shipped_log_whose_ledger_is_gone_is_told_and_not_used(
    terminal: Terminal, app: App, back: Path, is_live_there: bool
) -> None:
    serve(terminal, app)
    saved = app.log.read_bytes()
    add(app, 11, 50)
    ship(app)
    whole = app.log.read_bytes()
    (stream_of(app) / "0001.ledger").unlink()
    data = stream_of(app) / "0001.journal"
    status = terminal.types("status")
    if not is_live_there:
        lose(app)
    target, content = (app.package, whole) if is_live_there else (app.destination, saved)

    said = check_latest(terminal, back, target, content, code=0 if is_live_there else 3)

    assert status.code == 1
    assert f"TROUBLE     the shipped log {data} has lost its ledger" in status.out
    assert "its ledger 0001.ledger is gone, and nothing else proves what is in it" in said
    assert "the chain is unbroken:" not in said
    lost = "what was shipped in a log that is named below cannot be brought back"
    assert (lost in said) is not is_live_there


def test_programs_are_told_what_is_lacking(terminal: Terminal, app: App, back: Path) -> None:
    add(app, 11, 50)
    ship(app)
    (stream_of(app) / "0001.journal").unlink()
    lose(app)

    printed = terminal.types("restore", app.destination, "--latest", "--to", back, "--json")

    assert printed.code == 3
    assert printed.json["log"]["lacks_shipped"] is True
