"""Disks that hang, told with threads that are held: who waits how long, what is begun again, what comes late."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from engine.host import HostClock
from scheduler import served as served_module
from scheduler.errands import Errand, Line, Patience, SilentDiskError, ask, make_round
from scheduler.looking import Seen
from scheduler.served import Served
from tests.scheduler.served_stories import Story, nightly
from tests.scheduler.stories import at

CLOCK = HostClock()
SHORT = Patience(one=0.1, all=0.5)
LONG = 10.0


class Gate:
    """A disk that answers when the story says so; `asked` counts how often it was asked."""

    def __init__(self, brings: object = "news") -> None:
        self.open = threading.Event()
        self.asked = 0
        self._brings = brings

    def __call__(self) -> object:
        self.asked += 1
        assert self.open.wait(LONG)
        return self._brings

    def pass_by(self) -> None:
        self()


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


def until(claim: Callable[[], object]) -> None:
    end = time.monotonic() + LONG
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.005)


def errand(work: Callable[[], object]) -> Errand[object]:
    return Errand(work, CLOCK)


def go_round(errands: list[Errand[object]], patience: Patience = SHORT) -> list[Errand[object]]:
    return list(make_round(errands, patience, CLOCK, lambda: None))


def test_what_answers_has_its_news_when_the_round_is_over() -> None:
    errands = [errand(partial(int, number)) for number in range(100)]

    left = go_round(errands)

    assert left == []
    assert [one.take() for one in errands] == list(range(100))
    assert [one.take() for one in errands] == [None] * 100


def test_a_round_of_many_needs_one_thread() -> None:
    seen: set[int] = set()
    errands = [errand(lambda: seen.add(threading.get_ident())) for _ in range(100)]

    go_round(errands)

    assert len(seen) == 1
    assert threading.get_ident() not in seen


def test_one_that_hangs_keeps_no_other_waiting_and_is_not_asked_again(gate: Gate) -> None:
    hanging, other = errand(gate), errand(lambda: "other")

    for _ in range(3):
        assert go_round([hanging, other]) == []
        assert other.take() == "other"

    assert gate.asked == 1
    assert hanging.is_under_way
    assert not hanging.has_news


def test_what_comes_late_is_told_and_taken_once(gate: Gate) -> None:
    late = threading.Event()
    hanging = errand(gate)
    make_round([hanging], SHORT, CLOCK, late.set)
    assert not late.is_set()

    gate.open.set()

    assert late.wait(LONG)
    assert not hanging.is_under_way
    assert hanging.take() == "news"
    assert hanging.take() is None


def test_the_whole_round_has_an_end_and_what_was_not_begun_is_said() -> None:
    gates = [Gate() for _ in range(20)]
    errands = [errand(gate) for gate in gates]
    began = time.monotonic()

    left = go_round(errands)

    assert time.monotonic() - began < 5
    assert 0 < len(left) < 20
    assert left == errands[20 - len(left) :]
    assert sum(gate.asked for gate in gates) == 20 - len(left)
    for gate in gates:
        gate.open.set()
    until(lambda: not any(one.is_under_way for one in errands))


def test_what_the_work_raises_is_raised_where_it_is_taken() -> None:
    def fails() -> object:
        raise FileNotFoundError(2, "gone")

    failing = errand(fails)

    go_round([failing])

    with pytest.raises(FileNotFoundError):
        failing.take()
    assert failing.take() is None


def test_one_question_has_its_answer_or_says_which_place_is_silent(gate: Gate) -> None:
    silent = errand(gate)
    silent.at(Path("/usb"))

    assert ask(errand(lambda: "yes"), LONG, CLOCK) == "yes"
    with pytest.raises(SilentDiskError) as raised:
        ask(silent, 0.1, CLOCK)

    assert raised.value.filename == "/usb"


def test_entries_are_written_in_their_order_when_the_disk_answers(gate: Gate) -> None:
    line, written = Line("database", 0.1), list[int]()
    line.do(lambda: written.append(len(str(gate())) - 4))
    began = time.monotonic()
    for number in range(1, 100):
        line.do(partial(written.append, number))

    assert time.monotonic() - began < 5
    assert written == []

    gate.open.set()

    until(lambda: len(written) == 100)
    assert written == list(range(100))
    line.do(lambda: written.append(100))
    assert written[-1] == 100


def test_more_entries_than_a_silent_disk_can_ever_want_are_counted_not_kept(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    line, written = Line("database", 0.01), list[int]()
    line.do(gate.pass_by)
    for number in range(600):
        line.do(partial(written.append, number))

    gate.open.set()

    until(lambda: "100 entries were not kept" in caplog.text)
    assert written == list(range(500))


# --- one database -------------------------------------------------------------------------------------


class HangingDatabase(Served):
    """One whose look is held at the gate, while there is one."""

    gate: Gate | None = None

    def _look(self) -> Seen:
        self.looks.at(Path("/srv/usb"))
        if self.gate is not None:
            self.gate()
        return super()._look()


@pytest.fixture
def story(tmp_path: Path) -> Story:
    story = nightly(tmp_path)
    story.served = HangingDatabase(story.served.entry, story.served._host)
    story.look("10 12:00")
    return story


def hang(story: Story, gate: Gate) -> None:
    assert isinstance(story.served, HangingDatabase)
    story.served.gate = gate
    make_round([story.served.looks], SHORT, CLOCK, lambda: None)


def test_silence_is_told_once_and_its_end_too(
    story: Story, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang(story, gate)
    story.served.note_silence(at("10 12:00:20"))
    assert not story.entries("Storage does not answer")

    monkeypatch.setattr(served_module, "SILENT_SECONDS", 0.0)
    for _ in range(3):
        story.served.note_silence(at("10 12:01"))
    (entry,) = story.entries("Storage does not answer")
    assert "/srv/usb does not answer since 2026-01-10 12:0" in entry
    assert story.served.problem == "storage does not answer since 2026-01-10 12:00:59: /srv/usb"

    gate.open.set()
    until(lambda: story.served.looks.has_news)
    seen = story.served.looks.take()
    assert seen is not None
    story.served.take(seen, at("10 14:00"))
    story.served.take(seen, at("10 14:01"))

    assert len(story.entries("Storage answers again")) == 1
    assert story.served.problem is None


def test_slots_that_passed_in_silence_are_caught_up_once(story: Story, gate: Gate) -> None:
    hang(story, gate)
    gate.open.set()
    until(lambda: story.served.looks.has_news)
    seen = story.served.looks.take()
    assert seen is not None

    story.served.take(seen, at("13 03:00"))

    assert story.sees("13 03:00").startswith("run")


def test_a_look_from_before_its_own_service_ended_is_not_taken_for_the_past(story: Story) -> None:
    seen = story.served._look()
    assert seen.past is None
    story.served.take(replace(seen, elsewhere={"pid": 1}), at("10 13:00"))

    story.served.take(seen, at("10 13:00") + timedelta(seconds=1))

    assert story.served.known is None
    assert story.sees("10 13:01").startswith("wait")
