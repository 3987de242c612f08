"""Two services: the second is refused or harmless, no slot is served twice, and a death lets the next one in."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.manifest import read_set_facts
from tests.engine.stories import App, verified
from tests.scheduler.real import (
    PROGRAM,
    Real,
    application,
    clock_in,
    environment,
    owe,
    reschedule,
    serve,
    service,
    service_of,
)

LOCKED = 6
SERVING = "serving 1 database(s)"


@pytest.fixture
def own(tmp_path: Path) -> App:
    return application(tmp_path / "one")


def second(state: Path, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    """Another service, which is expected to refuse."""
    return subprocess.run(
        [*PROGRAM, "--state-folder", str(state), *map(str, words)],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(),
    )


def slots_served(app: App) -> list[str]:
    facts = (read_set_facts(app.destination / name) for name in app.sets())
    return [str(one.scheduled) for one in facts if one.scheduled is not None]


def assert_sound(app: App) -> None:
    assert all(verified(app.destination / name).good for name in app.sets())
    assert app.hidden() == []


def test_a_second_service_with_the_same_state_is_refused_until_the_first_one_dies(
    own: App, tmp_path: Path
) -> None:
    state = tmp_path / "state"

    with service(state, own) as first:
        first.wait_for(SERVING)
        refused = second(state, "run", own.package)
        assert refused.returncode == LOCKED, refused.stderr
        assert "the service cannot start: the service is running since" in refused.stderr
        assert f"(process {first.process.pid})" in refused.stderr
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(10)
        with service(state, own) as next_one:
            next_one.wait_for("next backup")


@pytest.mark.slow
def test_two_services_with_one_service_file_are_told_apart_by_their_state(
    own: App, tmp_path: Path
) -> None:
    file = tmp_path / "service.xml"
    serve(file, own)

    with service_of(file, tmp_path / "state") as first:
        first.wait_for(SERVING)
        refused = second(tmp_path / "state", "--service-file", file, "run")

    assert refused.returncode == LOCKED
    assert "error 1417" in refused.stderr
    assert_sound(own)


@contextmanager
def both(tmp_path: Path, app: App) -> Iterator[tuple[Real, Real]]:
    with service(tmp_path / "north", app) as north, service(tmp_path / "south", app) as south:
        yield north, south


def test_a_slot_that_is_due_for_two_services_is_served_once(own: App, tmp_path: Path) -> None:
    owe(own, tmp_path / "north")
    owe(own, tmp_path / "south")

    with both(tmp_path, own) as (north, south):
        for one in (north, south):
            one.wait_for("next backup")
        said = north.said() + south.said()

    assert len(slots_served(own)) == 1
    assert said.count("published in") == 1
    assert_sound(own)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_services_that_meet_again_and_again_serve_no_slot_twice(
    own: App, tmp_path: Path
) -> None:
    with both(tmp_path, own) as (north, south):
        north.wait_for("next backup")
        south.wait_for("next backup")
        for round_ in range(1, 6):
            reschedule(own, clock_in(5))
            north.wait_for("next backup", times=2 * round_ + 1, seconds=40)
            south.wait_for("next backup", times=2 * round_ + 1, seconds=40)
        time.sleep(4)  # a retry that is still to come

    slots = slots_served(own)
    assert len(slots) == len(set(slots)) > 0
    assert "Traceback" not in north.said() + south.said()
    assert_sound(own)
