"""What fuzzing found stays found; each target runs; and fuzzing would notice."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import engine.history
import engine.par2files
import scheduler.control
import scheduler.state
from tests.fuzz.cases import all_targets, cases_of
from tests.fuzz.mutate import mutate, odd_values
from tests.fuzz.target import Target

_ROOT = Path(__file__).parents[2]
_TARGETS = {target.name: target for target in all_targets()}
_BLIND = 60


def shaken(target: Target, count: int, seed: int) -> None:
    """Some inputs made from the seeds."""
    some, seeds = random.Random(seed), target.seeds()
    for _ in range(count):
        target.execute(mutate(some.choice(seeds), some, seeds, target.words))


@pytest.mark.parametrize("name", _TARGETS)
def test_seeds_and_found_cases_are_taken_as_documented(name: str) -> None:
    target = _TARGETS[name]

    for data in (*target.seeds()[:20], *(case.read_bytes() for case in cases_of(target))):
        target.execute(data)


@pytest.mark.parametrize("name", _TARGETS)
def test_shaken_inputs_are_taken_as_documented(name: str) -> None:
    slow = name in {"archive", "stream", "stream-not-packed", "4bk", "4bk-inside"}

    shaken(_TARGETS[name], _BLIND // 6 if slow else _BLIND, seed=5)


@pytest.mark.parametrize("name", ["history", "state", "exchange", "open-check"])
def test_every_odd_value_at_every_place_is_taken_as_documented(name: str) -> None:
    target = _TARGETS[name]
    documents = odd_values(json.loads(target.seeds()[0]))

    for document in documents[:: 1 + len(documents) // 200]:
        try:
            text = json.dumps(document)
        except ValueError:  # a number of too many digits
            continue
        target.execute(text.encode())


def test_the_command_prints_seed_executions_and_failures(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "data-file", "--seconds", "1", "--seed", "7"]
    done = subprocess.run(
        [*command, "--cases", tmp_path],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "seed 7" in done.stdout
    assert "data-file" in done.stdout
    assert list(tmp_path.iterdir()) == []


# --- would it notice? -----------------------------------------------------------------------------

_Plant = Callable[[pytest.MonkeyPatch], object]


def _history_that_trusts_its_numbers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine.history, "HIGHEST_NUMBER", 10**500)
    patch.setattr(engine.history, "_number", lambda record: int(record.get("backupNumber", 0)))


def _state_without_bounds(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(scheduler.state, "_FIRST_YEAR", 1)
    patch.setattr(scheduler.state, "_LAST_YEAR", 9999)


def _par2_that_believes_names(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine.par2files, "is_plain", bool)


def _answers_of_any_kind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(scheduler.control, "_answer_in", json.loads)


@pytest.mark.parametrize(
    ("name", "plant"),
    [
        ("history", _history_that_trusts_its_numbers),
        ("state", _state_without_bounds),
        ("par2", _par2_that_believes_names),
        ("socket-client", _answers_of_any_kind),
    ],
)
def test_a_planted_mistake_is_found(
    name: str, plant: _Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = _TARGETS[name]
    plant(monkeypatch)

    with pytest.raises((Exception,)):  # whatever is not documented
        shaken(target, 3000, seed=1)
