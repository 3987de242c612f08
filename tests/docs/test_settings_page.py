"""docs/settings.md and the shipped service file: every key is told, every example parses."""

from pathlib import Path

import pytest

from settings.keys import KEYS, WEEKDAYS
from settings.service_file import parse_service_file
from settings.service_model import ServedDatabase
from tests.docs.pages import HOUSE, blocks, page

PAGE = "settings.md"


# the page names the first and the last day
INNER_DAYS = tuple(f"/{day}/" for day in WEEKDAYS[1:-1])


@pytest.mark.parametrize("path", [path for path in KEYS if not any(d in path for d in INNER_DAYS)])
def test_every_key_of_the_settings_is_on_the_page(path: str) -> None:
    assert f"`{path.removeprefix('Settings/')}`" in page(PAGE)


def test_the_example_of_a_service_file_is_read_whole() -> None:
    read = parse_service_file(blocks(PAGE, "xml")[0].encode(), Path("service.xml"))

    assert read.zone == "Europe/Paris"
    assert read.databases == (
        ServedDatabase(Path("/srv/4d/Invoices"), None),
        ServedDatabase(Path("/srv/4d/Stock"), Path("/data/stock/stock.4DD")),
    )
    assert len(read.path_map.entries) == 3


def test_the_shipped_service_file_is_read_and_serves_nothing_yet() -> None:
    file = HOUSE / "systemd" / "service.xml"

    read = parse_service_file(file.read_bytes(), file)

    assert (read.databases, read.zone, read.path_map.entries) == ((), None, ())


def test_the_shipped_service_file_is_read_with_its_examples_switched_on() -> None:
    file = HOUSE / "systemd" / "service.xml"
    text = file.read_text("utf-8")
    for marked in ("<!-- <TimeZone>", "</TimeZone> -->", "<!--\n", "-->\n  </"):
        assert marked in text
        text = text.replace(marked, marked.replace("<!-- ", "").replace(" -->", ""))
    text = text.replace("<!--\n", "\n").replace("-->\n  </", "\n  </")

    read = parse_service_file(text.encode(), file)

    assert (len(read.databases), read.zone) == (2, "Europe/Paris")
    assert len(read.path_map.entries) == 2
