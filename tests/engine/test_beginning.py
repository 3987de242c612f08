"""A file that is no log, no archive, or nothing any more: what was read of it is said, and what it means."""

import pytest

from engine.errors import DamagedError, EngineError
from engine.fourd.archive import read_list, verify_archive, verify_stored
from engine.fourd.container import NotKnownError
from engine.logfile import LogUnreadableError, read_header
from tests.engine.fourd_stories import WAY, archive
from tests.engine.logs import Bytes, changes, data_file, log

LOG = log(*changes(1, 9))
ARCHIVE = archive()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (bytes(9), "its first 9 bytes are zeros"),
        (bytes(9999), "its first 9999 bytes are zeros"),
        (bytes(4096) + LOG[4096:] + b"x", "its first 4096 bytes are zeros"),
        (bytes(3 << 20) + b"x", "its first 1048576 bytes are zeros"),
        (bytes(15) + b"x" * 99, "its header is not known, it may be encrypted"),
        (LOG[:4], "it is cut off: it has 4 of the 24 bytes of a log's header"),
        (LOG[:23], "it is cut off: it has 23 of the 24 bytes of a log's header"),
        (LOG[:3], "it has 3 bytes, too few for a log"),
        (data_file(7), "it is a data file of 4D"),
        (ARCHIVE, "it is an archive of 4D"),
        (b"?" * 24, "its header is not known, it may be encrypted"),
    ],
)
def test_why_a_file_is_no_log_is_said(content: bytes, words: str) -> None:
    with pytest.raises(LogUnreadableError) as caught:
        read_header(Bytes(content))

    assert str(caught.value).startswith(f"the log cannot be read by this program: {words}")


@pytest.mark.parametrize("look", [read_list, verify_archive, verify_stored])
@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"", DamagedError, "it is empty"),
        (bytes(5000), DamagedError, "its first 5000 bytes are zeros"),
        (bytes(5000) + b"x", DamagedError, "its first 5000 bytes are zeros"),
        (ARCHIVE[:4], DamagedError, "it is cut off: it has 4 bytes"),
        (ARCHIVE[:19], DamagedError, "it is cut off: it has 19 bytes"),
        (ARCHIVE[:20], DamagedError, "it is cut off: nothing follows its first 20 bytes"),
        (ARCHIVE[:3], NotKnownError, "it does not begin as one"),
        (data_file(7), NotKnownError, "it is a data file of 4D"),
        (LOG, NotKnownError, "it is a log of 4D, which `backup4d log` reads"),
    ],
)
def test_why_a_file_is_no_archive_is_said(
    look: object, content: bytes, kind: type[EngineError], words: str
) -> None:
    with pytest.raises(EngineError, match=words) as caught:
        look(Bytes(content), WAY)  # type: ignore[operator]

    assert type(caught.value) is kind


@pytest.mark.parametrize("end", [24, 68, 100])
def test_an_archive_cut_off_in_its_list_is_said_to_be(end: int) -> None:
    with pytest.raises(DamagedError, match=f"bytes 20 to {end} .* the archive is cut off there"):
        read_list(Bytes(ARCHIVE[:end]), WAY)
