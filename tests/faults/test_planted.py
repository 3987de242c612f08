"""Faults planted into the program are found: the sweeps can fail."""

import pytest

from tests.faults.planted import LIES, PLANTED
from tests.faults.sweeping import Sweep, needs_disks_of_its_own

_KINDS = {
    "a second flush counts": "errors",
    "failures are passed over": "errors",
    "doubtful names stay": "showing",
    "records are written once": "errors",
}
_STORIES = {
    "state written in place": "state",
    "settings written in place": "settings",
    "records are written once": "lock",
    "any log is the same": "log renewed",
    "shipped bytes are told before they are there": "log shipped",
    "what is shipped of a log is not flushed": "log shipped",
    "what is told of a log is not flushed": "log shipped",
}


def test_a_set_shown_before_it_is_whole_is_found(sweep: Sweep) -> None:
    found = sweep.run(["rotation"], "kills", most=6, planted="shown before its papers are written")

    assert any("is seen and not good" in fault for fault in found["faults"])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("planted", PLANTED)
def test_every_planted_fault_is_found(sweep: Sweep, planted: str) -> None:
    kind = _KINDS.get(planted, "kills")

    found = sweep.run([_STORIES.get(planted, "rotation")], kind, most=14, planted=planted)

    assert found["faults"]


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.timeout(900)
@pytest.mark.parametrize("system", ["ext4", "xfs"])
@pytest.mark.parametrize("planted", LIES)
def test_a_flush_that_does_nothing_is_found(sweep: Sweep, system: str, planted: str) -> None:
    needs_disks_of_its_own(system)

    found = sweep.run_on(system, [_STORIES.get(planted, "unchecked")], most=20, planted=planted)

    if system == "ext4" and "history" in planted:
        return  # ext4 flushes a file that is renamed over another by itself (auto_da_alloc)
    assert found["faults"]
