"""docs/settings.md and the shipped service file: every key is told, every example parses."""

from datetime import timedelta
from pathlib import Path

import pytest

from settings.keys import KEYS, WEEKDAYS
from settings.service_file import parse_service_file
from settings.service_model import (
    Hook,
    Hooks,
    Limits,
    LogShipping,
    Scrub,
    ServedDatabase,
    ServiceFile,
)
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
        ServedDatabase(Path("/srv/4d/Invoices"), None, read.hooks),
        ServedDatabase(Path("/srv/4d/Stock"), Path("/data/stock/stock.4DD"), read.hooks),
    )
    assert len(read.path_map.entries) == 3
    assert read.hooks.shutdown is not None
    assert read.limits == Limits(runs_per_device=2, hung_after=timedelta(hours=1))


def test_the_example_of_drills_and_scrubs_is_read_whole() -> None:
    read = parse_service_file(blocks(PAGE, "xml")[1].encode(), Path("service.xml"))

    invoices, archive = read.databases
    assert read.drill is not None
    assert read.drill.check is not None
    assert read.drill.room_limit == 50000 << 20
    assert (invoices.drill, invoices.scrub) == (read.drill, Scrub(timedelta(days=7)))
    assert (archive.drill, archive.scrub) == (None, read.scrub)


def test_the_example_on_the_page_of_the_service_is_read() -> None:
    read = parse_service_file(blocks("service.md", "xml")[0].encode(), Path("service.xml"))

    assert read.drill is not None
    assert read.scrub == Scrub(timedelta(days=30))


def test_the_example_of_log_shipping_is_read_whole() -> None:
    read = parse_service_file(blocks(PAGE, "xml")[2].encode(), Path("service.xml"))

    invoices, archive = read.databases
    assert (invoices.shipping, archive.shipping) == (LogShipping(), None)
    page_of_it = parse_service_file(blocks("log-shipping.md", "xml")[0].encode(), Path("x.xml"))
    assert page_of_it.shipping == LogShipping()


@pytest.mark.parametrize(
    "key",
    [
        *(f"Drill/{key}" for key in ("EveryDays", "Scratch", "RoomLimitMiB", "Window/From")),
        *(f"Drill/Check/{key}" for key in ("Program", "Argument", "TimeLimit")),
        *("Drill/Window/To", "Scrub/AfterDays", "Scrub/Window/From", "Scrub/Window/To"),
        *("LogShipping", "LogShipping/LagSeconds"),
    ],
)
def test_every_key_of_drills_and_scrubs_is_on_the_page(key: str) -> None:
    assert f"`{key}`" in page(PAGE)


@pytest.mark.parametrize("key", ["Startup", "Guard", "Shutdown"])
def test_every_hook_is_on_the_page(key: str) -> None:
    assert f"`Hooks/{key}`" in page(PAGE)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Hooks/Startup/TimeLimit", Hook(Path("/x")).time_limit),
        ("Limits/RunsPerDevice", Limits().runs_per_device),
        ("Limits/HungAfter", Limits().hung_after),
        ("Limits/OverlongAfter", Limits().overlong_after),
        ("Limits/ReadMiBPerSecond", Limits().read_rate),
        ("Limits/TakeOver", Limits().take_over),
        ("ArchiveFormat", ServiceFile().archives.value),
    ],
)
def test_the_defaults_on_the_page_are_true(key: str, value: timedelta | int | str | None) -> None:
    row = next(line for line in page(PAGE).splitlines() if line.startswith(f"| `{key}` |"))
    told = row.rstrip(" |").rpartition("| ")[2]

    if isinstance(value, timedelta):
        hours, minutes, seconds = (int(part) for part in told.split(":"))
        assert timedelta(hours=hours, minutes=minutes, seconds=seconds) == value
    else:
        assert told == ("no limit" if value is None else str(value))


def test_the_shipped_service_file_is_read_and_serves_nothing_yet() -> None:
    file = HOUSE / "systemd" / "service.xml"

    read = parse_service_file(file.read_bytes(), file)

    assert (read.databases, read.zone, read.path_map.entries) == ((), None, ())
    assert (read.hooks, read.limits) == (Hooks(), Limits())


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
    assert read.hooks.startup
    assert read.hooks.guard
    assert read.hooks.shutdown
    assert read.limits == Limits()
