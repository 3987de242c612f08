"""Drill and scrub in the service file: for the host and for one database; what is no clear wish is refused with its line."""

from datetime import time, timedelta
from pathlib import Path

import pytest

from settings.errors import SettingsRefusedError
from settings.service_file import parse_service_file
from settings.service_model import Drill, Hook, Scrub, ServiceFile, Window

FILE = Path("/etc/backup4d/service.xml")
WEEKLY = "<EveryDays>7</EveryDays><Scratch>/srv/drill</Scratch>"
CHECK = "<Check><Program>/opt/look</Program><Argument>-v</Argument><TimeLimit>00:10:00</TimeLimit></Check>"
NIGHT = "<Window><From>22:30</From><To>05:00</To></Window>"


def read(inside: str, of_database: str = "") -> ServiceFile:
    databases = (
        f"<Databases><Database><Package>/srv/app</Package>\n{of_database}</Database></Databases>"
    )
    text = f"<Backup4DService>{databases}\n{inside}</Backup4DService>"
    return parse_service_file(text.encode(), FILE)


def test_a_drill_with_everything_is_read() -> None:
    drill = f"<Drill>{WEEKLY}{NIGHT}<RoomLimitMiB>50000</RoomLimitMiB>{CHECK}</Drill>"

    assert read(drill).drill == Drill(
        timedelta(days=7),
        Path("/srv/drill"),
        Window(time(22, 30), time(5)),
        50000 << 20,
        Hook(Path("/opt/look"), ("-v",), timedelta(minutes=10)),
    )


def test_a_drill_needs_no_more_than_how_often_and_where() -> None:
    assert read(f"<Drill>{WEEKLY}</Drill>").drill == Drill(timedelta(days=7), Path("/srv/drill"))


def test_a_scrub_is_read() -> None:
    scrub = f"<Scrub><AfterDays>30</AfterDays>{NIGHT}</Scrub>"

    assert read(scrub).scrub == Scrub(timedelta(days=30), Window(time(22, 30), time(5)))


def test_nothing_is_asked_for_by_default() -> None:
    service = read("")

    assert (service.drill, service.scrub) == (None, None)
    assert (service.databases[0].drill, service.databases[0].scrub) == (None, None)


def test_a_database_has_the_hosts_drill_and_scrub() -> None:
    service = read(f"<Drill>{WEEKLY}</Drill><Scrub><AfterDays>30</AfterDays></Scrub>")

    (database,) = service.databases
    assert database.drill == service.drill
    assert database.scrub == service.scrub == Scrub(timedelta(days=30))


def test_a_databases_own_wins() -> None:
    own = "<Drill><EveryDays>1</EveryDays><Scratch>/srv/own</Scratch></Drill>"
    general = f"<Drill>{WEEKLY}{CHECK}</Drill>"

    (database,) = read(general, own).databases

    assert database.drill == Drill(timedelta(days=1), Path("/srv/own"))


def test_a_database_may_turn_them_off_for_itself() -> None:
    own = "<Drill><EveryDays>0</EveryDays></Drill><Scrub><AfterDays>0</AfterDays></Scrub>"
    general = f"<Drill>{WEEKLY}</Drill><Scrub><AfterDays>30</AfterDays></Scrub>"

    service = read(general, own)

    assert service.drill is not None
    assert (service.databases[0].drill, service.databases[0].scrub) == (None, None)


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ("<Drill><EveryDays>7</EveryDays></Drill>", "<Scratch> is missing"),
        ("<Drill><Scratch>/srv/drill</Scratch></Drill>", "<EveryDays> is missing"),
        ("<Drill><EveryDays>-1</EveryDays></Drill>", "days"),
        ("<Drill><EveryDays>1.5</EveryDays></Drill>", "days"),
        ("<Drill><EveryDays>\u0667</EveryDays></Drill>", "days"),
        ("<Drill><EveryDays>7</EveryDays><Scratch>drill</Scratch></Drill>", "full path"),
        ("<Drill><EveryDays>7</EveryDays><Scratch>/srv/../etc</Scratch></Drill>", "full path"),
        (f"<Drill>{WEEKLY}<Scratch>/srv/x</Scratch></Drill>", "twice"),
        (f"<Drill>{WEEKLY}<RoomLimitMiB>0</RoomLimitMiB></Drill>", "mebibytes"),
        (f"<Drill>{WEEKLY}<RoomLimitMiB>1 GB</RoomLimitMiB></Drill>", "mebibytes"),
        (
            f"<Drill>{WEEKLY}<Window><From>24:00</From><To>05:00</To></Window></Drill>",
            "time of day",
        ),
        (f"<Drill>{WEEKLY}<Window><From>2:00</From><To>05:00</To></Window></Drill>", "time of day"),
        (f"<Drill>{WEEKLY}<Window><From>02:00</From></Window></Drill>", "missing"),
        (f"<Drill>{WEEKLY}<Window><From>02:00</From><To>02:00</To></Window></Drill>", "the same"),
        (f"<Drill>{WEEKLY}<Check><Argument>x</Argument></Check></Drill>", "missing"),
        (f"<Drill>{WEEKLY}<Often/></Drill>", "unknown key"),
        (f"<Drill>{WEEKLY}</Drill><Drill>{WEEKLY}</Drill>", "twice"),
        ("<Scrub/>", "<AfterDays> is missing"),
        ("<Scrub><AfterDays>often</AfterDays></Scrub>", "days"),
        (
            "<Drill><EveryDays>7</EveryDays><Scratch>/srv/app</Scratch></Drill>",
            "lies in the application /srv/app",
        ),
        (
            "<Drill><EveryDays>7</EveryDays><Scratch>/srv/app/Data/x</Scratch></Drill>",
            "lies in the application /srv/app",
        ),
    ],
)
def test_what_is_no_clear_wish_is_refused_with_its_line(inside: str, words: str) -> None:
    for of_host, of_database, line in ((f"\n{inside}", "", 4), ("", f"\n{inside}", 3)):
        with pytest.raises(SettingsRefusedError, match=words) as caught:
            read(of_host, of_database)

        (finding,) = caught.value.findings
        assert finding.line == line


def test_a_scratch_beside_an_application_of_a_like_name_is_taken() -> None:
    drill = "<Drill><EveryDays>7</EveryDays><Scratch>/srv/app-drill</Scratch></Drill>"

    assert read(drill).drill == Drill(timedelta(days=7), Path("/srv/app-drill"))
