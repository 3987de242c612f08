"""One backup decided before a byte is written: its number, what goes first, the room it needs, what it goes on from."""

from pathlib import Path
from typing import Any

import pytest

from engine.errors import NoRoomError
from engine.plan import Plan, plan_backup
from engine.sets import Inventory, Removal, StoredSet
from tests.engine.stories import ERASE_BEFORE, KEEP, stored
from tests.settings.forms import settings_of

MIB = 1 << 20
GIB = 1 << 30
SEGMENTS = "Advanced/FileSegmentation/DefaultSize"


def planned(
    *sets: StoredSet, highest: int = 0, changed: dict[str, str | None] | None = None, **how: Any
) -> Plan:
    wanted = {"known_number": 0, "content_bytes": 100 * MIB, "free_bytes": GIB, **how}
    settings = settings_of({KEEP: "2", **(changed or {})})
    return plan_backup(Inventory(sets, highest or len(sets), ()), settings, **wanted)


def test_the_first_backup_needs_a_tenth_more_than_its_sources() -> None:
    assert planned() == Plan(1, (), 110 * MIB + MIB, None)


@pytest.mark.parametrize(
    ("highest", "known", "number"), [(0, 0, 1), (7, 3, 8), (3, 7, 8), (0, 93, 94)]
)
def test_no_number_comes_twice(highest: int, known: int, number: int) -> None:
    assert planned(highest=highest, known_number=known).number == number


def test_a_backup_goes_on_from_the_newest_set() -> None:
    sets = (stored(4), stored(9))

    assert planned(*sets).before == sets[1].folder


def test_what_goes_before_is_not_gone_on_from() -> None:
    only = stored(1)
    sets = (*(stored(at) for at in (1, 2)), stored(3, complete=False, checked=False))

    plan = planned(*sets, changed={KEEP: "1", ERASE_BEFORE: "True"})

    reason = "more than the 1 newest sets that SetNumber keeps"
    assert plan.remove_before == (Removal(sets[0], reason), Removal(sets[2], reason))
    assert plan.before == sets[1].folder
    assert planned(only, changed={KEEP: "1", ERASE_BEFORE: "True"}).before == only.folder


def test_without_erasing_before_nothing_goes_before() -> None:
    assert planned(*(stored(at) for at in range(1, 9))).remove_before == ()


@pytest.mark.parametrize(
    ("content", "archive", "needed"),
    [
        (200 * MIB, 50 * MIB, 27 * MIB + MIB // 2 + MIB),
        (0, 50 * MIB, 111 * MIB),
        (200 * MIB, 0, 111 * MIB),
    ],
)
def test_the_ratio_of_the_newest_set_is_believed_when_it_has_one(
    content: int, archive: int, needed: int
) -> None:
    older = stored(1, content_bytes=1, archive_bytes=1000)
    newest = stored(2, content_bytes=content, archive_bytes=archive)

    assert planned(older, newest).needed_bytes == needed


def test_the_last_byte_of_room_is_enough_and_one_less_is_not() -> None:
    assert planned(free_bytes=111 * MIB).needed_bytes == 111 * MIB

    with pytest.raises(NoRoomError) as refused:
        planned(free_bytes=111 * MIB - 1)

    assert str(refused.value) == "not enough room: the set needs about 111 MiB, 111 MiB are free"
    assert refused.value.hint == (
        "free room in the backup folder, or keep fewer sets (SetNumber/Value)"
    )


def test_room_is_told_in_thousands() -> None:
    with pytest.raises(NoRoomError) as refused:
        planned(content_bytes=10_000 * MIB, free_bytes=2000 * MIB)

    assert str(refused.value) == (
        "not enough room: the set needs about 11,001 MiB, 2,000 MiB are free"
    )


def test_what_goes_before_makes_room() -> None:
    sets = [stored(at, content_bytes=100 * MIB, archive_bytes=100 * MIB) for at in (1, 2, 3)]
    changed: dict[str, str | None] = {ERASE_BEFORE: "True"}

    plan = planned(*sets, changed=changed, content_bytes=200 * MIB, free_bytes=21 * MIB)

    assert [removal.stored for removal in plan.remove_before] == sets[:2]
    assert plan.needed_bytes == 221 * MIB
    with pytest.raises(NoRoomError):
        planned(*sets, changed=changed, content_bytes=200 * MIB, free_bytes=21 * MIB - 1)


@pytest.mark.parametrize("kind", ["vfat", "msdos", "fuse.fusefat"])
def test_an_archive_that_no_file_there_can_hold_is_refused(kind: str) -> None:
    with pytest.raises(NoRoomError) as refused:
        planned(content_bytes=5 * GIB, free_bytes=100 * GIB, kind=kind)

    assert str(refused.value) == (
        f"an archive of about 5,633 MiB cannot be written: a file on {kind} has 4 GiB at most"
    )
    assert refused.value.hint == (
        "let the settings cut archives into segments (FileSegmentation/DefaultSize 2048, not with"
        " ArchiveFormat 4BK), or format the disk with exFAT, NTFS or ext4"
    )


def test_what_fits_into_the_files_there_is_not_refused() -> None:
    there: dict[str, Any] = {"free_bytes": 100 * GIB, "kind": "vfat"}

    assert planned(content_bytes=3 * GIB, **there).number == 1
    assert planned(content_bytes=5 * GIB, changed={SEGMENTS: "2048"}, **there).number == 1
    assert planned(content_bytes=5 * GIB, free_bytes=100 * GIB, kind="ext4").number == 1


def test_a_set_elsewhere_is_gone_on_from_where_it_lies() -> None:
    there = stored(5, folder=Path("/mnt/nas"))

    assert planned(there).before == Path("/mnt/nas/data[0005]")
