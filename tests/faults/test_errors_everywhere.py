"""EIO, ENOSPC, EDQUOT, EROFS and short writes at every call, once and for good: said clearly, and nothing good is harmed."""

import pytest

from tests.faults.backup_stories import STORIES
from tests.faults.file_stories import FILE_STORIES
from tests.faults.import_stories import IMPORT_STORIES
from tests.faults.restore_stories import RESTORE_STORIES
from tests.faults.stream_stories import STREAM_STORIES
from tests.faults.sweeping import Sweep, assert_sound


def test_a_disk_that_fails_at_some_calls_harms_nothing(sweep: Sweep) -> None:
    assert_sound(sweep.run(["rotation"], "errors", most=2), least=30)


def test_a_set_that_cannot_be_shown_for_good_is_not_shown_at_all(sweep: Sweep) -> None:
    assert_sound(sweep.run(["rotation"], "showing"), least=15)


def test_a_file_that_is_replaced_is_the_old_or_the_new_one_wherever_the_disk_fails(
    sweep: Sweep,
) -> None:
    assert_sound(sweep.run(list(FILE_STORIES), "errors", most=1), least=40)


def test_a_log_that_is_shipped_is_whole_wherever_the_disk_fails(sweep: Sweep) -> None:
    assert_sound(sweep.run(["log shipped"], "errors", most=1), least=12)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "story", [*STORIES, *RESTORE_STORIES, *FILE_STORIES, *STREAM_STORIES, *IMPORT_STORIES]
)
def test_a_disk_that_fails_at_any_call_harms_nothing(sweep: Sweep, story: str) -> None:
    assert_sound(sweep.run([story], "errors"), least=30)
