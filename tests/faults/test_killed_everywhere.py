"""kill -9 before and after every call that changes the disk, and in the middle of every write: nothing good is harmed."""

import pytest

from tests.faults.backup_stories import STORIES
from tests.faults.file_stories import FILE_STORIES
from tests.faults.import_stories import IMPORT_STORIES
from tests.faults.restore_stories import RESTORE_STORIES
from tests.faults.stream_stories import STREAM_STORIES
from tests.faults.sweeping import Sweep, assert_sound


def test_a_run_killed_at_some_calls_harms_nothing(sweep: Sweep) -> None:
    assert_sound(sweep.run(["rotation", "dead half-made", "restore"], "kills", most=3), least=30)


def test_a_file_that_is_replaced_is_the_old_or_the_new_one_wherever_its_writer_is_killed(
    sweep: Sweep,
) -> None:
    assert_sound(sweep.run(list(FILE_STORIES), "kills"), least=50)


def test_an_import_killed_at_some_calls_harms_nothing(sweep: Sweep) -> None:
    assert_sound(sweep.run(["imported"], "kills", most=3), least=8)


def test_a_log_that_is_shipped_is_whole_wherever_the_service_is_killed(sweep: Sweep) -> None:
    assert_sound(sweep.run(["log shipped", "log renewed"], "kills", most=3), least=20)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("story", [*STORIES, *RESTORE_STORIES, *IMPORT_STORIES])
def test_a_run_killed_at_any_call_harms_nothing(sweep: Sweep, story: str) -> None:
    assert_sound(sweep.run([story], "kills"), least=50)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("story", list(STREAM_STORIES))
def test_a_service_killed_at_any_call_while_it_ships_loses_nothing_it_told(
    sweep: Sweep, story: str
) -> None:
    assert_sound(sweep.run([story], "kills"), least=30)
