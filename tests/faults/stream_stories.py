"""Shipping a log under faults: what was told is there and the log's own, and the next look makes good what is missing."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.streamer import HeldError
from engine.streamfolder import STREAM_LOCK
from engine.streampiece import sound_entries
from tests.engine.stories import App
from tests.engine.stream_stories import (
    add,
    renew,
    shipped,
    shipping_app,
    stream_of,
    streamer,
    told,
)
from tests.faults.scenes import Scene, Story, contents
from tests.faults.shim import Ended, Fault
from tests.faults.survivors import assert_tidy

_OLD = "old.journal"


def _grown(folder: Path) -> App:
    """Ten operations are shipped, more are there, one of them large."""
    app = shipping_app(folder)
    once(app)
    add(app, 11, 11, payload=bytes(3 << 20))
    add(app, 12, 30)
    return app


def _new(folder: Path) -> App:
    """Nothing is shipped yet."""
    return shipping_app(folder)


def _renewed(folder: Path) -> App:
    """The log was renewed while nobody looked."""
    app = _grown(folder)
    once(app)
    (app.package / _OLD).write_bytes(renew(app, 30))
    add(app, 31, 40)
    return app


def _outlived(folder: Path) -> App:
    """A piece that no set leads into any more."""
    app = shipping_app(folder)
    once(app)
    (app.package / _OLD).write_bytes(renew(app, 10))
    once(app, looks=2)
    for _ in range(4):
        app.backup()
    add(app, 11, 12)
    return app


def once(app: App, looks: int = 1) -> None:
    """A service that looks so many times and ends; nothing stays open."""
    one = streamer(app)
    for _ in range(looks):
        with suppress(HeldError):  # a strange sight counts when it is seen twice
            one.look()
    one.let_go()


def _look(app: App) -> dict[str, Any]:
    return _tried(streamer(app).look)


def _look_twice(app: App) -> dict[str, Any]:
    one = streamer(app)
    with suppress(HeldError):  # a strange sight counts when it is seen twice
        one.look()
    return _tried(one.look)


def _tried(look: Callable[[], object]) -> dict[str, Any]:
    try:
        look()
    except (OSError, EngineError) as error:
        return {"failed": str(error)}
    return {"done": True}


def _judge(scene: Scene, ended: Ended, _: Fault) -> None:
    app = scene.app
    assert "traceback" not in ended.said, ended.said["traceback"]
    _untouched(scene)
    before = _told_in(scene.template)
    now = _sound(app) if ended.said.get("done") or before else _sound_or_none(app)
    for name, size in before.items():
        if "old" not in scene.story.name:
            assert len(now.get(name, b"")) >= size, f"{name}: told bytes are gone"
    logs = [app.log.read_bytes(), *_old_logs(app)]
    for name, content in now.items():
        assert any(log.startswith(content) for log in logs), f"{name} is no beginning of its log"
    if ended.said.get("done"):
        assert app.log.read_bytes() in now.values(), "said to be shipped, and it is not"
    _go_on(app)
    assert app.log.read_bytes() == shipped(app)[-1]
    hidden = [one.name for one in stream_of(app).iterdir() if one.name.startswith(".")]
    assert hidden == [STREAM_LOCK], hidden
    assert_tidy(scene)


def _untouched(scene: Scene) -> None:
    then = contents(scene.template)
    mine = {name: data for name, data in then.items() if "log-stream" not in name}
    now = {name: data for name, data in contents(scene.here).items() if "log-stream" not in name}
    assert now == mine, "something else was touched"


def _told_in(folder: Path) -> dict[str, int]:
    found = (folder / "backups").glob("*.log-stream-*/*.journal")
    return {file.stem: file.stat().st_size for file in found}


def _sound(app: App) -> dict[str, bytes]:
    """What each piece holds for certain, every byte compared with its ledger."""
    found: dict[str, bytes] = {}
    for ledger in told(app):
        name = f"{ledger.beginning.number:04d}"
        file = stream_of(app) / f"{name}.journal"
        if ledger.closing is not None and not file.exists():
            continue  # its removal was cut short
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            sound = sound_entries(stream.fileno(), ledger.entries, size, all_of_them=True)
            assert sound == ledger.entries, f"{name}: what its ledger tells is not there"
            found[name] = stream.read(sound[-1].end if sound else 0)
    return found


def _sound_or_none(app: App) -> dict[str, bytes]:
    return _sound(app) if list(app.destination.glob("*.log-stream-*")) else {}


def _old_logs(app: App) -> list[bytes]:
    old = app.package / _OLD
    return [old.read_bytes()] if old.exists() else []


def _go_on(app: App) -> None:
    once(app, looks=3)


STREAM_STORIES = {
    story.name: story
    for story in (
        Story("first shipped", _new, _look, _judge, failing=("backups",)),
        Story("log shipped", _grown, _look, _judge, failing=("backups",)),
        Story("log renewed", _renewed, _look_twice, _judge, failing=("backups",)),
        Story("old piece removed", _outlived, _look, _judge, failing=("backups",)),
    )
}
