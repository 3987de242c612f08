"""The stage of these tests: an application, its service file with log shipping, a writer, and what must hold at the end."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.engine.logs import DATALINK, data_file, link_block
from tests.engine.stories import DESTINATION, App
from tests.engine.stream_stories import shipping_app
from tests.scheduler.real import PROGRAM, clock_in, environment, serve, wait_until
from tests.scheduler.served_stories import FREQUENCY, HOUR
from tests.shipping.watching import Told, Watcher, pieces, records

FIRST = 10


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is."""

    app: App
    folder: Path
    archive: Path

    @property
    def service_file(self) -> Path:
        return self.folder / "service.xml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def ask(self, *words: object, seconds: float = 60) -> tuple[int, str]:
        """A command, which must come to its end in time."""
        line = [*PROGRAM, "--service-file", self.service_file, "--state-folder", self.state, *words]
        done = subprocess.run(
            [str(word) for word in line],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(),
            timeout=seconds,
        )
        return done.returncode, done.stdout

    def status(self) -> tuple[int, dict[str, object]]:
        """What `status --json` says of its log, and the exit code."""
        code, text = self.ask("status", "--json")
        row = json.loads(text)["databases"][0]
        return code, {**row["log_shipping"], "trouble": row["trouble"]}

    def truths(self) -> list[bytes]:
        """Every log there was, in order, the live one last."""
        old = sorted(self.archive.glob("*.journal"))
        return [file.read_bytes() for file in (*old, self.app.log)]

    def is_all_shipped(self) -> bool:
        return list(pieces(self.app).values())[-1:] == [self.app.log.read_bytes()]


def set_stage(folder: Path, *, lag: int = 1, destination: Path | None = None) -> Stage:
    """An application with a set whose data hold ten operations; its log is to be shipped."""
    app = shipping_app(folder, FIRST)
    if destination is not None:
        app = App(app.package, destination, app.clock)
        destination.mkdir(exist_ok=True)
    app.configure({FREQUENCY: "Daily", HOUR: clock_in(1800), DESTINATION: f"{app.destination}/"})
    if destination is not None:
        app.backup()
    archive = folder / "archive"
    archive.mkdir()
    stage = Stage(app, folder, archive)
    shipping = f"<LogShipping><LagSeconds>{lag}</LagSeconds></LogShipping>"
    serve(stage.service_file, app, more=shipping)
    return stage


@contextmanager
def writing(
    stage: Stage, *, seconds: float, rate: int = 1000, renew_every: float = 0, seed: int = 1
) -> Iterator["subprocess.Popen[str]"]:
    """A process that writes the log."""
    program = [sys.executable, "-m", "tests.shipping.writer"]
    words = (stage.app.log, stage.archive, rate, seconds, renew_every, seed)
    process = subprocess.Popen(
        [*program, *(str(word) for word in words)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def watching(stage: Stage) -> Iterator[Watcher]:
    watcher = Watcher(stage.app)
    try:
        yield watcher
    finally:
        watcher.stop()


def flush(app: App, number: int) -> None:
    """4D writes its data file: it holds the operations up to this one."""
    facts = app.data_file.stat()
    app.data_file.write_bytes(data_file(number, [link_block(DATALINK)]))
    os.utime(app.data_file, ns=(facts.st_atime_ns, facts.st_mtime_ns + 10**9))


def wait_until_shipped(stage: Stage, seconds: float = 30) -> None:
    wait_until(stage.is_all_shipped, "the log is never shipped to its end", seconds)


def assert_nothing_lost(stage: Stage, told: list[Told]) -> int:
    """All that was told is there and the log's own, byte for byte; returns how many operations were never shipped."""
    truths, now = stage.truths(), pieces(stage.app)
    for number, content in now.items():
        assert any(truth.startswith(content) for truth in truths), f"piece {number} is of no log"
    for one in told:
        assert len(now[one.piece]) >= one.end, f"told bytes of piece {one.piece} are gone"
    shipped = {record.number for content in now.values() for record in records(content)}
    return len({record.number for truth in truths for record in records(truth)} - shipped)


def assert_restores_to(stage: Stage, truths: list[bytes], *, first: int = FIRST) -> None:
    """The application's disk is lost: its newest set and all shipped logs come back, for 4D to integrate."""
    stage.app.package.rename(stage.folder / "lost")
    target = stage.folder / "restored"
    code, text = stage.ask("restore", stage.app.destination, "--latest", "--to", target, "--json")
    assert code == 0, text
    found = json.loads(text)["log"]
    data = target / "Data"
    earlier = sorted((data / "Logs to integrate").glob("*"))
    placed = [file.read_bytes() for file in (*earlier, data / "data.journal")]
    assert placed == truths
    last = records(truths[-1])[-1].number
    assert (found["operations"], found["unbroken"]) == (last - first, True)
    code, text = stage.ask("open-check", target)
    assert f"{records(truths[-1])[-1].number}" in text or code == 0
    (stage.folder / "lost").rename(stage.app.package)
