"""The power goes at every call: what was not flushed is gone, and what was said to be done is there."""

import pytest

from tests.faults.backup_stories import STORIES
from tests.faults.file_stories import FILE_STORIES
from tests.faults.import_stories import IMPORT_STORIES
from tests.faults.restore_stories import RESTORE_STORIES
from tests.faults.stream_stories import STREAM_STORIES
from tests.faults.sweeping import Sweep, assert_sound, needs_disks_of_its_own

pytestmark = pytest.mark.root


def test_a_power_cut_at_some_calls_loses_nothing_that_was_done(sweep: Sweep) -> None:
    needs_disks_of_its_own("ext4")
    assert_sound(sweep.run_on("ext4", ["unchecked"], most=4), least=5)


def test_a_power_cut_loses_no_operation_that_was_told_as_shipped(sweep: Sweep) -> None:
    needs_disks_of_its_own("ext4")
    assert_sound(sweep.run_on("ext4", ["log shipped"], most=3), least=4)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("system", ["ext4", "xfs"])
@pytest.mark.parametrize(
    "story", [*STORIES, *RESTORE_STORIES, *FILE_STORIES, *STREAM_STORIES, *IMPORT_STORIES]
)
def test_a_power_cut_at_any_call_loses_nothing_that_was_done(
    sweep: Sweep, system: str, story: str
) -> None:
    needs_disks_of_its_own(system)
    assert_sound(sweep.run_on(system, [story]), least=4)
