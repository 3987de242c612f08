"""What is remembered of drills and scrubs: through a restart, through the child's pipe, and from the history."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.known import watch
from scheduler.proof import (
    Begun,
    Drilled,
    LastDrill,
    NotNow,
    Proof,
    Scrubbed,
    Told,
    Verified,
    after_drill,
    after_scrub,
    chore_ending_from_json,
    chore_ending_to_json,
    drills_told,
    newest_verdicts,
)
from scheduler.state import State, StateError, load_state, save_state
from tests.scheduler.stories import NIGHTLY, ONCE, PARIS, at

GOOD = LastDrill(at("10 03:00"), 5, 12.5, 0, "")
BAD = LastDrill(at("11 03:00"), 6, 0.0, 1411, "set 6 is damaged")
WHOLE = Verified("data[0005]", at("10 04:00"), 0, "")
HIT = Verified("data[0006]", at("10 04:00"), 1411, "frame 3")
FULL = Proof(
    BAD, GOOD, at("01 12:00"), Begun("scrub", at("12 02:00")), (WHOLE, HIT), at("10 04:00"), 9, 2, 1
)


def state(proof: Proof) -> State:
    return State("/srv/app", watch(NIGHTLY, ONCE, PARIS, at("10 12:00")), proof=proof)


@pytest.mark.parametrize("proof", [Proof(), FULL])
def test_it_survives_a_restart(proof: Proof, tmp_path: Path) -> None:
    save_state(tmp_path / "state", state(proof))

    assert load_state(tmp_path / "state") == state(proof)


def test_the_state_of_an_older_release_has_none(tmp_path: Path) -> None:
    file = tmp_path / "state"
    save_state(file, state(FULL))
    row = json.loads(file.read_text())
    del row["proof"]
    file.write_text(json.dumps(row))

    assert load_state(file) == state(Proof())


@pytest.mark.parametrize("key", ["drill", "asked", "verified", "oldest", "scrubbed"])
def test_a_damaged_one_is_refused(key: str, tmp_path: Path) -> None:
    file = tmp_path / "state"
    save_state(file, state(FULL))
    row = json.loads(file.read_text())
    row["proof"][key] = "2026-01-10T12:00:00"
    file.write_text(json.dumps(row))

    with pytest.raises(StateError):
        load_state(file)


@pytest.mark.parametrize(
    "ending",
    [
        Drilled(GOOD),
        Drilled(BAD, by_hand=True),
        Scrubbed(HIT, True, False, ("data[0005]", "data[0006]"), at("10 04:00")),
        Scrubbed(None, False, False, (), at("10 04:00")),
        NotNow("there is no complete set"),
    ],
)
def test_an_ending_comes_through_the_pipe(ending: Told) -> None:
    assert chore_ending_from_json(json.loads(json.dumps(chore_ending_to_json(ending)))) == ending


def test_a_failed_drill_does_not_hide_what_was_proven() -> None:
    proof = after_drill(after_drill(Proof(begun=FULL.begun), GOOD), BAD)

    assert (proof.drill, proof.proven, proof.begun) == (BAD, GOOD, None)


def test_a_scrub_counts_and_forgets_sets_that_are_gone() -> None:
    read = Verified("data[0007]", at("12 04:00"), 0, "")

    proof = after_scrub(
        FULL, Scrubbed(read, True, True, ("data[0006]", "data[0007]"), at("10 04:00"))
    )

    assert proof.verified == (HIT, read)
    assert (proof.scrubbed, proof.damaged, proof.repaired) == (10, 3, 2)
    assert proof.begun is None


def test_a_look_that_read_nothing_counts_nothing() -> None:
    proof = after_scrub(FULL, Scrubbed(None, False, False, ("data[0005]",), at("10 04:00")))

    assert proof == replace(FULL, verified=(WHOLE,), begun=None)


def test_drills_by_hand_are_found_in_the_history() -> None:
    row = {
        "set": "data[0005]",
        "duration": 12500,
        "endingDate": "2026-01-10T02:00:00.000Z",
        "status": 0,
    }

    assert drills_told([row]) == [GOOD]


def test_the_newest_verdict_of_a_set_counts() -> None:
    mended = replace(HIT, at=at("13 04:00"), code=0, text="")

    assert newest_verdicts([mended, WHOLE, HIT]) == {"data[0005]": WHOLE, "data[0006]": mended}
