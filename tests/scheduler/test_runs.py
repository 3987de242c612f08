"""Runs of the service: places on a device, the Stop button, runs that hang, take long, or die."""

import logging
import os
import queue
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

import scheduler.runs as module
from engine.progress import Progress
from scheduler.child import Child
from scheduler.known import Failure
from scheduler.outcomes import Ending, Failed
from scheduler.recall import Host
from scheduler.runs import STOP_SECONDS, Job, Runs
from scheduler.served import Served
from settings.paths import PathMap
from settings.service_model import Limits, ServedDatabase
from tests.engine.stories import App
from tests.fakes import StoryClock
from tests.scheduler.real import (
    application,
    is_alive,
    make_big,
    owe,
    serve,
    service_of,
    visible,
    wait_until,
)
from tests.scheduler.served_stories import NO_DISK, STOPPED, Story, watched
from tests.scheduler.stories import PARIS, at

SLOT = "11 02:30"
DIED = Failed(1409, 1, "the process of the run (7) was killed by signal 2 before it was done", "")


class FakeChild:
    """A run that does what the story says."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self.verdict: str | None = None
        self.is_killed = False
        self.is_dead_silent = False
        self.told: list[str] = []
        self.age = self.silence = self.given_up = timedelta()

    def seconds(self) -> float:
        return self.age.total_seconds()

    def seconds_without_progress(self) -> float:
        return self.silence.total_seconds()

    def seconds_since_verdict(self) -> float:
        return self.given_up.total_seconds()

    def stop(self) -> None:
        self.told.append("the service stops")

    def stop_for_user(self) -> None:
        self.told.append("stop")

    def stop_as_hung(self, why: str) -> None:
        self.verdict = why
        self.told.append("hung")

    def kill(self) -> None:
        self.is_killed = True
        self.told.append("kill")


class Shop:
    """Runs with children of the story's own making; `started` in the order they began."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, limits: Limits) -> None:
        self.started: list[FakeChild] = []
        self.is_broken = False
        self.clock = StoryClock(at(SLOT))
        host = Host(Path("/nowhere"), PARIS, PathMap(), limits)
        self.runs = Runs(host, self.clock, lambda *_: None)
        monkeypatch.setattr(module, "Child", lambda *_: self._start())

    def _start(self) -> FakeChild:
        if self.is_broken:
            raise OSError(11, "no more processes")
        self.started.append(FakeChild())
        return self.started[-1]

    def begins(self, story: Story) -> Job:
        """The slot of a database comes due."""
        run = story.begins(SLOT)
        job = Job(story.served, run.slot.at, run.reason)
        self.runs.add(job)
        self.runs.start_waiting()
        return job

    def check(self, job: Job, **facts: timedelta) -> None:
        """Time passes for a run."""
        assert job.child is not None
        for name, value in facts.items():
            setattr(job.child, name, value)
        self.runs.check(self.clock.now())


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    return Shop(monkeypatch, Limits())


def on_device(folder: Path, device: int) -> Story:
    """A database whose sets go to a device of its own."""

    class Elsewhere(Served):
        def destination_device(self) -> int:
            return device

    story = watched(folder)
    host = Host(story.state_folder, PARIS, PathMap())
    story.served = Elsewhere(ServedDatabase(story.app.package, None), host)
    story.look("10 12:00")
    return story


def stories(folder: Path, *devices: int) -> list[Story]:
    found = []
    for number, device in enumerate(devices):
        (folder / str(number)).mkdir()
        found.append(on_device(folder / str(number), device))
    return found


def on(jobs: list[Job]) -> list[bool]:
    return [job.child is not None for job in jobs]


# --- places on a device ---------------------------------------------------------------------------


def test_databases_of_one_device_take_turns_in_the_order_they_came(
    tmp_path: Path, shop: Shop
) -> None:
    jobs = [shop.begins(story) for story in stories(tmp_path, 5, 5, 5)]

    assert on(jobs) == [True, False, False]
    assert jobs[1].progress().phase == "waiting for another backup to the same device"

    shop.runs.finish(jobs[0], NO_DISK)
    shop.runs.start_waiting()
    assert on(jobs[1:]) == [True, False]


def test_as_many_run_at_once_as_the_limit_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(monkeypatch, Limits(runs_per_device=2))

    jobs = [shop.begins(story) for story in stories(tmp_path, 5, 5, 5)]

    assert on(jobs) == [True, True, False]
    assert shop.runs.on == 2


def test_a_raised_limit_counts_for_those_that_wait(tmp_path: Path, shop: Shop) -> None:
    jobs = [shop.begins(story) for story in stories(tmp_path, 5, 5)]

    shop.runs.host = replace(shop.runs.host, limits=Limits(runs_per_device=2))
    shop.runs.start_waiting()

    assert on(jobs) == [True, True]


def test_different_devices_run_side_by_side_and_keep_nobody_waiting(
    tmp_path: Path, shop: Shop
) -> None:
    jobs = [shop.begins(story) for story in stories(tmp_path, 5, 5, 6)]

    assert on(jobs) == [True, False, True]


def test_two_data_files_of_one_package_take_turns_whatever_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(monkeypatch, Limits(runs_per_device=9))
    story = watched(tmp_path)
    other = story.app.data_file.with_name("other.4DD")
    other.write_bytes(b"other")
    host = Host(story.state_folder, PARIS, PathMap())
    both = [Story(story.app, story.state_folder) for _ in range(2)]
    for one, file in zip(both, (story.app.data_file, other), strict=True):
        one.served = Served(ServedDatabase(story.app.package, file), host)
        one.look("10 12:00")

    assert on([shop.begins(one) for one in both]) == [True, False]


def test_a_run_that_cannot_be_started_has_failed_and_holds_up_nobody(
    tmp_path: Path, shop: Shop
) -> None:
    one, two = stories(tmp_path, 5, 5)
    shop.is_broken = True
    shop.begins(one)
    shop.is_broken = False
    job = shop.begins(two)

    assert on([job]) == [True]
    assert isinstance(one.known.trouble, Failure)
    (entry,) = one.entries("Full Backup aborted")
    assert "the run could not be started: no more processes" in entry


# --- the Stop button ------------------------------------------------------------------------------


def test_a_waiting_run_that_is_stopped_is_1406_journaled_and_not_tried_again(
    tmp_path: Path, shop: Shop
) -> None:
    one, two = stories(tmp_path, 5, 5)
    shop.begins(one)
    job = shop.begins(two)

    shop.runs.stop(job, "user anna")

    assert job.ending == Failed(1406, 130, "stopped by user anna before it began", "")
    assert two.sees("11 02:31") == "wait 01-12 02:30"
    (entry,) = two.entries("Full Backup aborted")
    assert "Error reported : 1406 stopped by user anna before it began" in entry


def test_a_run_that_is_on_is_asked_and_its_slot_answered(tmp_path: Path, shop: Shop) -> None:
    (story,) = stories(tmp_path, 5)
    job = shop.begins(story)

    shop.runs.stop(job, "user anna")
    shop.runs.finish(job, STOPPED)

    assert shop.started[0].told == ["stop"]
    assert job.ending == STOPPED
    assert story.sees("11 02:31") == "wait 01-12 02:30"


@pytest.mark.parametrize("ending", [DIED, NO_DISK])
def test_however_a_stopped_run_ends_it_was_stopped(
    tmp_path: Path, shop: Shop, ending: Failed
) -> None:
    (story,) = stories(tmp_path, 5)
    job = shop.begins(story)
    shop.runs.stop(job, "user anna")

    shop.runs.finish(job, ending)

    assert isinstance(job.ending, Failed)
    assert job.ending.code == 1406
    assert job.ending.text == f"stopped by user anna; {ending.text}"
    assert story.sees("11 02:31") == "wait 01-12 02:30"


def test_a_set_that_was_published_all_the_same_counts(tmp_path: Path, shop: Shop) -> None:
    (story,) = stories(tmp_path, 5)
    job = shop.begins(story)
    shop.runs.stop(job, "user anna")
    shop.check(job, silence=timedelta(hours=1))

    published = story.publishes(SLOT, slot=SLOT)
    shop.runs.finish(job, published)

    assert job.ending == published


def test_what_a_person_stopped_is_not_made_after_a_restart(tmp_path: Path, shop: Shop) -> None:
    (story,) = stories(tmp_path, 5)
    job = shop.begins(story)
    shop.runs.stop(job, "user anna")
    shop.runs.ask_all_to_stop()

    shop.runs.ended_while_stopping(job, STOPPED)

    assert story.restart().sees("11 02:31") == "wait 01-12 02:30"


def note(told: list[Ending | None], job: Job) -> None:
    told.append(job.ending)


def test_who_follows_a_run_is_told_when_the_service_stops(tmp_path: Path, shop: Shop) -> None:
    one, two = stories(tmp_path, 5, 5)
    jobs = [shop.begins(one), shop.begins(two)]
    told: list[Ending | None] = []
    for job in jobs:
        job.watchers.append(partial(note, told, job))

    shop.runs.ask_all_to_stop()
    shop.runs.ended_while_stopping(jobs[0], STOPPED)

    assert [ending.text for ending in told if isinstance(ending, Failed)] == 2 * [
        "stopped, because the service stops"
    ]


# --- runs that hang or take long ------------------------------------------------------------------


def test_a_run_without_progress_is_told_of_stopped_and_tried_again(
    tmp_path: Path, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    (story,) = stories(tmp_path, 5)
    job = shop.begins(story)

    shop.check(job, silence=timedelta(minutes=29))
    assert shop.started[0].told == []
    shop.check(job, silence=timedelta(minutes=31))
    shop.check(job, given_up=timedelta(seconds=STOP_SECONDS - 1))
    assert shop.started[0].told == ["hung"]
    shop.runs.finish(job, Failed(1409, 1, "stopped by the service", ""))

    (entry,) = story.entries("Backup is slow")
    assert "no progress for 30 min (starting): the run is stopped" in entry
    assert "no progress for 30 min" in caplog.text
    assert isinstance(story.known.trouble, Failure)
    last = story.remembered().last
    assert last is not None
    assert (last.code, last.text[:11]) == (1409, "no progress")


def test_a_run_that_says_the_same_again_makes_no_progress() -> None:
    child = object.__new__(Child)
    child._clock, child.progress, child._moved = StoryClock(), None, 0.0
    child._take(Progress("saving", 7, 9))
    moved = child._moved

    child._take(Progress("saving", 7, 9))
    assert child._moved == moved
    child._take(Progress("saving", 8, 9))
    assert child._moved > moved


def test_a_hung_run_that_does_not_react_is_killed_once(tmp_path: Path, shop: Shop) -> None:
    (story,) = stories(tmp_path, 5)
    job = shop.begins(story)
    shop.check(job, silence=timedelta(hours=1))

    for _ in range(3):
        shop.check(job, given_up=timedelta(seconds=STOP_SECONDS + 1))

    assert shop.started[0].told == ["hung", "kill"]


@pytest.mark.parametrize("ending", [DIED, STOPPED])
def test_a_stopped_run_that_hangs_is_given_up_too_and_stays_stopped(
    tmp_path: Path, shop: Shop, ending: Failed
) -> None:
    (story,) = stories(tmp_path, 5)
    job = shop.begins(story)
    shop.runs.stop(job, "user anna")
    shop.check(job, silence=timedelta(hours=1))

    shop.runs.finish(job, ending)

    assert story.sees("11 04:00") == "wait 01-12 02:30"


def test_a_long_run_is_told_of_once_and_goes_on(tmp_path: Path, shop: Shop) -> None:
    (story,) = stories(tmp_path, 5)
    job = shop.begins(story)

    for hours in (11, 13, 14):
        shop.check(job, age=timedelta(hours=hours))

    assert shop.started[0].told == []
    (entry,) = story.entries("Backup is slow")
    assert "the backup is on for 13 h and goes on" in entry


# --- real processes -------------------------------------------------------------------------------


@contextmanager
def real_run(folder: Path) -> Iterator[tuple[Runs, Job, Story, "queue.SimpleQueue[Ending]"]]:
    """One real run that is on, and where its ending comes."""
    story = watched(folder)
    make_big(story.app)
    endings: queue.SimpleQueue[Ending] = queue.SimpleQueue()
    host = Host(story.state_folder, PARIS, PathMap(), Limits(hung_after=timedelta(seconds=1)))
    clock = StoryClock(datetime.now(PARIS))
    runs = Runs(host, clock, lambda _, ending: endings.put(ending))
    run = story.begins(SLOT)
    job = Job(story.served, run.slot.at, run.reason)
    runs.add(job)
    runs.start_waiting()
    assert job.child is not None
    try:
        yield runs, job, story, endings
    finally:
        job.child.kill()
        wait_until(lambda: not is_alive(job.child.pid), "the run is left")  # type: ignore[union-attr]


def test_a_run_that_dies_before_its_first_word_is_journaled_all_the_same(tmp_path: Path) -> None:
    with real_run(tmp_path) as (runs, job, story, endings):
        assert job.child is not None
        job.child.kill()
        runs.finish(job, endings.get(timeout=30))

    (entry,) = story.entries("Full Backup aborted")
    assert "was killed by signal 9 before it was done" in entry
    assert isinstance(story.known.trouble, Failure)


def test_a_run_that_dies_with_its_words_written_is_journaled_once(tmp_path: Path) -> None:
    with real_run(tmp_path) as (runs, job, story, endings):
        assert job.child is not None
        wait_until(story.app.hidden, "the run never began to write")
        job.child.kill()
        runs.finish(job, endings.get(timeout=30))
        assert story.entries("Full Backup aborted") == []
        story.app.data_file.write_bytes(b"a small one")
        story.publishes("11 03:00", slot=None)

    assert len(story.entries("Full Backup aborted")) == 1


def test_a_stop_in_the_first_moment_of_a_run_is_1406(tmp_path: Path) -> None:
    with real_run(tmp_path) as (runs, job, story, endings):
        runs.stop(job, "user anna")
        runs.finish(job, endings.get(timeout=30))

    assert isinstance(job.ending, Failed)
    assert job.ending.code == 1406
    assert len(story.entries("Full Backup aborted")) == 1
    assert story.app.sets() == story.app.hidden() == []


def test_a_frozen_run_is_killed_when_patience_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 5)
    with real_run(tmp_path) as (runs, job, story, endings):
        assert job.child is not None
        wait_until(story.app.hidden, "the run never began to write")
        os.kill(job.child.pid, signal.SIGSTOP)
        clock = runs._clock
        assert isinstance(clock, StoryClock)
        for _ in range(3):
            clock.pass_time(timedelta(seconds=6))
            runs.check(at(SLOT))
        with caplog.at_level(logging.ERROR):
            runs.finish(job, endings.get(timeout=30))

    assert job.child.is_killed
    assert isinstance(job.ending, Failed)
    assert job.ending.code == 1409
    assert job.ending.text.startswith("no progress for 1 s (")
    assert isinstance(story.known.trouble, Failure)


def test_a_run_that_hangs_under_the_real_service_is_stopped_and_tried_again(
    tmp_path: Path,
) -> None:
    app = application(tmp_path)
    make_big(app)
    state, file = tmp_path / "state", tmp_path / "service.xml"
    serve(file, app, more="<Limits><HungAfter>00:00:02</HungAfter></Limits>")
    owe(app, state)

    with service_of(file, state) as real:
        child = real.wait_for_child()
        wait_until(lambda: is_saving(app), "the run never began to write")
        os.kill(child, signal.SIGSTOP)
        wait_until(lambda: hung(app, real.process.pid), "nobody noticed that it hangs")
        os.kill(child, signal.SIGCONT)
        real.wait_for("backup failed (1409): no progress for 2 s (saving)")
        app.data_file.write_bytes(b"a small one")
        real.wait_for("published in")

    assert visible(app) == ["data[0001]"]
    assert app.hidden() == []
    assert app.journal().count("*** Backup is slow") == 1
    assert app.journal().count("*** Full Backup aborted") == 1


def is_saving(app: App) -> bool:
    """Whether more than a frame lies on the disk."""
    written = [file.stat().st_size for file in app.destination.glob(".backup4d-staging*/*")]
    return max(written, default=0) > 2 << 20


def hung(app: App, service: int) -> bool:
    os.kill(service, signal.SIGHUP)
    return "*** Backup is slow" in app.journal()
