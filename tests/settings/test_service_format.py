"""ArchiveFormat in the service file: our own unless somebody asks for 4D's, for the host or one database."""

import pytest

from settings.errors import SettingsRefusedError
from settings.service_model import ArchiveFormat
from tests.settings.test_service_drills import read

FOURD = "<ArchiveFormat>4BK</ArchiveFormat>"
TAR = "<ArchiveFormat>tar</ArchiveFormat>"


@pytest.mark.parametrize(
    ("general", "own", "used"),
    [
        ("", "", ArchiveFormat.TAR),
        ("", FOURD, ArchiveFormat.FOURD),
        (FOURD, "", ArchiveFormat.FOURD),
        (FOURD, TAR, ArchiveFormat.TAR),
        (TAR, FOURD, ArchiveFormat.FOURD),
    ],
)
def test_a_databases_own_format_takes_the_place_of_the_hosts(
    general: str, own: str, used: ArchiveFormat
) -> None:
    assert read(general, own).databases[0].archives is used


@pytest.mark.parametrize("text", ["", "4bk", "zst", "4BK 4BL", "<a/>"])
def test_any_other_format_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(SettingsRefusedError, match="line 3: ArchiveFormat"):
        read(f"<ArchiveFormat>{text}</ArchiveFormat>")


def test_it_is_there_once() -> None:
    with pytest.raises(SettingsRefusedError, match="twice"):
        read(FOURD + FOURD)
