"""Drills and scrubs seen from the service: one at a time, out of the way of backups, none that hangs, no storm."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

import scheduler.chores as module
from scheduler.chores import Chores
from scheduler.outcomes import Failed
from scheduler.proof import ChoreEnding, Drilled, LastDrill, NotNow, Scrubbed, Verified
from scheduler.recall import Host
from scheduler.runs import STOP_SECONDS, Job, Runs
from scheduler.served import Served
from settings.paths import PathMap
from settings.service_model import Drill, Limits, Scrub, ServedDatabase, Window
from tests.fakes import StoryClock
from tests.scheduler.served_stories import Story, watched
from tests.scheduler.stories import PARIS, at

NOON = "10 12:00"
DIED = Failed(1409, 1, "the process of the run (7) was killed by signal 9 before it was done", "")


@dataclass
class FakeChild:
    """A drill or scrub that does what the story says."""

    request: dict[str, Any]
    done: Callable[[ChoreEnding], None]
    verdict: str | None = None
    is_killed: bool = False
    told: list[str] = field(default_factory=list)
    silence: float = 0.0
    since_told: float = 0.0

    def seconds_without_progress(self) -> float:
        return self.silence

    def seconds_since_verdict(self) -> float:
        return self.since_told

    def stop(self) -> None:
        self.told.append("stop")

    def stop_as_hung(self, why: str) -> None:
        self.verdict = why
        self.told.append("hung")

    def kill(self) -> None:
        self.is_killed = True
        self.told.append("kill")


class House:
    """A service with databases that ask for drills; its children are fakes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.clock = StoryClock(at(NOON))
        self.host = Host(folder / "state", PARIS, PathMap(), Limits())
        self.runs = Runs(self.host, self.clock, lambda *_: None)
        self.wakes = 0
        self.chores = Chores(self.runs, self.clock, self._wake)
        self.children: list[FakeChild] = []
        self.databases: list[Served] = []
        self.is_broken = False
        monkeypatch.setattr(module, "Child", self._start)

    def _wake(self) -> None:
        self.wakes += 1

    def _start(self, request: dict[str, Any], _: object, done: Any, __: object) -> FakeChild:
        if self.is_broken:
            raise OSError(11, "no more processes")
        self.children.append(FakeChild(request, done))
        return self.children[-1]

    def database(self, name: str, **wishes: Any) -> Story:
        """A database with a set."""
        (self.folder / name).mkdir()
        story = watched(self.folder / name)
        story.publishes("09 02:30", slot="09 02:30")
        entry = ServedDatabase(story.app.package, None, **wishes)
        story.served = Served(entry, replace(self.host, state_folder=story.state_folder))
        story.look(NOON)
        self.databases.append(story.served)
        return story

    @property
    def drill(self) -> Drill:
        return Drill(timedelta(days=7), self.scratch)

    def look(self, now: str = NOON) -> list[datetime]:
        return self.chores.look(self.databases, at(now))

    def ends(self, ending: ChoreEnding, now: str = NOON) -> None:
        """The one that is on ends."""
        self.children[-1].done(ending)
        self.look(now)

    def begun(self) -> list[str]:
        return [child.request["chore"] for child in self.children]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    return House(tmp_path, monkeypatch)


def drilled(now: str = NOON, code: int = 0) -> Drilled:
    return Drilled(LastDrill(at(now), 1, 12.0, code, "" if code == 0 else "damaged"))


def test_one_is_made_at_a_time_and_then_the_next(house: House) -> None:
    one = house.database("one", drill=house.drill, scrub=Scrub(timedelta(days=30)))
    house.database("two", drill=house.drill)

    house.look()
    house.look()
    assert house.begun() == ["drill"]
    house.ends(drilled())

    assert one.served.proof.proven == drilled().last
    assert house.begun() == ["drill", "scrub"]
    assert house.wakes == 1


def test_the_moment_of_the_next_one_is_known(house: House) -> None:
    house.database("one", drill=house.drill)
    house.look()
    house.ends(drilled())

    assert house.look() == [at("17 12:00")]
    assert len(house.children) == 1


def test_a_window_is_waited_for(house: House) -> None:
    house.database("one", drill=replace(house.drill, window=Window(time(2), time(5))))

    assert house.look() == [at("11 02:00")]
    assert house.begun() == []
    house.look("11 02:00")
    assert house.begun() == ["drill"]


def test_nothing_is_begun_while_a_backup_waits_or_runs(house: House) -> None:
    story = house.database("one", drill=house.drill)
    run = story.begins("11 02:30")
    house.runs.add(Job(story.served, run.slot.at, run.reason))

    house.look("11 02:30")

    assert house.begun() == []


def test_nothing_is_begun_while_another_database_is_saved_to_the_same_disk(house: House) -> None:
    house.database("one", drill=house.drill)
    other = house.database("two")
    run = other.begins("11 02:30")
    house.runs.add(Job(other.served, run.slot.at, run.reason))

    house.look("11 02:30")

    assert house.begun() == []


def test_one_that_is_on_gives_way_to_a_backup_and_is_made_later(house: House) -> None:
    story = house.database("one", drill=house.drill)
    house.look("11 02:29")
    run = story.begins("11 02:30")
    job = Job(story.served, run.slot.at, run.reason)
    house.runs.add(job)

    house.look("11 02:30")
    house.look("11 02:30")
    assert house.children[0].told == ["stop"]
    house.ends(NotNow("stopped"), "11 02:31")

    house.runs.finish(job, story.publishes("11 02:32", slot="11 02:30"))
    assert house.look("11 02:35") == [at("11 02:41")]
    house.look("11 02:41")
    assert house.begun() == ["drill", "drill"]
    assert story.entries("Restore drill") == []


def test_one_that_does_not_stop_for_a_backup_is_killed_and_that_is_no_failure(
    house: House,
) -> None:
    story = house.database("one", drill=house.drill)
    house.look("11 02:29")
    run = story.begins("11 02:30")
    house.runs.add(Job(story.served, run.slot.at, run.reason))
    house.look("11 02:30")
    house.children[0].since_told = STOP_SECONDS + 1.0

    house.look("11 02:32")
    house.look("11 02:32")
    assert house.children[0].told == ["stop", "kill"]
    house.ends(DIED, "11 02:32")

    assert story.served.proof.drill is None
    assert story.served.proof.begun is None


def test_a_pause_stops_it_and_begins_none(house: House) -> None:
    story = house.database("one", drill=house.drill)
    house.look()
    story.served.pause(at("12 12:00"), "anna", at(NOON))

    house.look()
    assert house.children[0].told == ["stop"]
    house.ends(NotNow("stopped"))
    house.look("10 14:00")

    assert house.begun() == ["drill"]


def test_one_that_makes_no_progress_is_stopped_killed_and_told(house: House) -> None:
    story = house.database("one", drill=house.drill)
    house.look()
    house.children[0].silence = Limits().hung_after.total_seconds() + 1

    house.look()
    house.children[0].since_told = STOP_SECONDS + 1.0
    house.look()
    assert house.children[0].told == ["hung", "kill"]
    house.ends(DIED)

    (entry,) = story.entries("Restore drill")
    assert "no progress for 30 min" in entry
    last = story.served.proof.drill
    assert last is not None
    assert not last.is_good
    assert house.look() == [at("11 12:00")]


def test_a_scrub_that_dies_is_tried_again_after_a_day(house: House) -> None:
    story = house.database("one", scrub=Scrub(timedelta(days=30)))
    house.look()
    house.ends(DIED)

    assert house.look() == [at("11 12:00")]
    assert "killed by signal 9" in story.entries("Verification")[0]


def test_sets_are_scrubbed_one_after_the_other(house: House) -> None:
    story = house.database("one", scrub=Scrub(timedelta(days=30)))
    house.look()
    read = Verified("data[0001]", at(NOON), 1411, "frame 3")
    house.ends(Scrubbed(read, True, False, ("data[0001]", "data[0002]"), at("01 12:00")))
    assert house.look() == [at("2026-01-31 12:00")]

    house.look("2026-01-31 12:00")

    assert house.begun() == ["scrub", "scrub"]
    proof = story.served.proof
    assert (proof.scrubbed, proof.damaged, proof.verified) == (1, 1, (read,))
    assert house.children[1].request["proof"]["verified"][0]["name"] == "data[0001]"


def test_what_cannot_be_made_now_is_asked_again_after_an_hour(house: House) -> None:
    house.database("one", drill=house.drill)
    house.look()
    house.ends(NotNow("there is no complete set"))

    assert house.look() == [at("10 13:00")]
    assert house.begun() == ["drill"]


def test_a_child_that_cannot_be_started_is_no_storm(house: House) -> None:
    story = house.database("one", drill=house.drill)
    house.is_broken = True
    house.look()
    house.is_broken = False

    assert house.look() == [at("10 12:10")]
    assert story.served.proof.begun is None


def test_it_is_remembered_before_it_begins(house: House) -> None:
    story = house.database("one", drill=house.drill)
    house.look()

    remembered = story.remembered().proof.begun
    assert remembered is not None
    assert (remembered.kind, remembered.at) == ("drill", at(NOON))


def test_nothing_is_begun_for_a_database_without_a_wish(house: House) -> None:
    story = house.database("one")

    assert house.look() == []
    assert house.begun() == []
    assert story.served.proof.asked is None
