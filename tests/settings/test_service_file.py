"""The service file is ours, so every mistake in it is refused with its line and what to do."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from settings.errors import SettingsNotFoundError, SettingsRefusedError
from settings.paths import PathMap
from settings.service_file import load_service_file, parse_service_file
from settings.service_model import Hook, Hooks, Limits, ServedDatabase, ServiceFile

FILE = Path("/etc/backup4d/service.xml")
ONE = "<Database><Package>/srv/app</Package></Database>"


def service(inside: str) -> bytes:
    return f"<Backup4DService>\r{inside}\r</Backup4DService>".encode()


def test_a_full_file_is_read() -> None:
    data = service(
        "<TimeZone>Europe/Paris</TimeZone><Databases>"
        "<Database><Package>/srv/app/</Package><DataFile>/srv/app/Data/data.4DD</DataFile></Database>"
        "<Database><Package>/srv/shop</Package></Database></Databases>"
        "<PathMap><Map><From>C:\\Backups\\</From><To>/srv/backups/</To></Map></PathMap>"
    )

    assert parse_service_file(data, FILE) == ServiceFile(
        file=FILE,
        zone="Europe/Paris",
        databases=(
            ServedDatabase(Path("/srv/app"), Path("/srv/app/Data/data.4DD")),
            ServedDatabase(Path("/srv/shop"), None),
        ),
        path_map=PathMap((("C:\\Backups\\", "/srv/backups"),)),
    )


def test_an_empty_file_serves_nothing() -> None:
    assert parse_service_file(service(""), FILE) == ServiceFile(file=FILE)


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ("<Zone>Europe/Paris</Zone>", "unknown key"),
        ("<TimeZone>Mars/Olympus</TimeZone>", "time zone"),
        ("<TimeZone></TimeZone>", "time zone"),
        ("<TimeZone>../../etc/passwd</TimeZone>", "time zone"),
        ("<TimeZone>UTC</TimeZone><TimeZone>UTC</TimeZone>", "twice"),
        ("stray", "text"),
        ("<Databases><Database/></Databases>", "missing"),
        ("<Databases><Database><Package>app</Package></Database></Databases>", "full path"),
        ("<Databases><Database><Package>/srv/../etc</Package></Database></Databases>", "full path"),
        ("<Databases><Database><Package>/</Package></Database></Databases>", "full path"),
        ("<Databases><Database><Package><b/>/srv</Package></Database></Databases>", "only text"),
        (f"<Databases>{ONE}{ONE}</Databases>", "twice"),
        ("<PathMap><Map><From>./x</From><To>/y</To></Map></PathMap>", "full path"),
        ("<PathMap><Map><From>C:\\x</From><To>y</To></Map></PathMap>", "full path"),
        ("<PathMap><Map><From>C:\\x</From></Map></PathMap>", "missing"),
        (
            "<PathMap><Map><From>C:\\x</From><To>/y</To></Map><Map><From>c:\\X\\</From><To>/z</To></Map></PathMap>",
            "twice",
        ),
    ],
)
def test_a_mistake_is_refused_with_its_line(inside: str, words: str) -> None:
    with pytest.raises(SettingsRefusedError, match=words) as caught:
        parse_service_file(service("\r" + inside), FILE)

    [finding] = caught.value.findings
    assert finding.line in {1, 3}
    assert str(FILE) in str(caught.value)


def test_one_package_may_serve_two_named_data_files() -> None:
    def database(name: str) -> str:
        return f"<Database><Package>/srv/a</Package><DataFile>/srv/{name}</DataFile></Database>"

    data = service(f"<Databases>{database('1.4DD')}{database('2.4DD')}</Databases>")

    assert len(parse_service_file(data, FILE).databases) == 2


def test_another_root_and_hostile_xml_are_refused() -> None:
    for data in (b"<Preferences4D/>", b"<!DOCTYPE x><Backup4DService/>", b""):
        with pytest.raises(SettingsRefusedError):
            parse_service_file(data, FILE)


def test_an_absent_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(SettingsNotFoundError):
        load_service_file(tmp_path / "service.xml")


# --- hooks and limits -----------------------------------------------------------------------------

STARTUP = "<Startup><Program>/opt/quiet</Program><Argument>--db</Argument><Argument>a b</Argument></Startup>"
GUARD = "<Guard><Program>/opt/freeze</Program><TimeLimit>00:00:20</TimeLimit></Guard>"
SHUTDOWN = "<Shutdown><Program>/opt/mail</Program></Shutdown>"


def _service(text: str) -> ServiceFile:
    return parse_service_file(service(text), FILE)


def test_hooks_are_programs_with_arguments_and_a_time_limit() -> None:
    hooks = _service(f"<Hooks>{STARTUP}{GUARD}{SHUTDOWN}</Hooks>").hooks

    assert hooks.startup == Hook(Path("/opt/quiet"), ("--db", "a b"), timedelta(minutes=1))
    assert hooks.guard == Hook(Path("/opt/freeze"), (), timedelta(seconds=20))
    assert hooks.shutdown == Hook(Path("/opt/mail"))


def test_a_database_has_the_hosts_hooks_where_it_names_none_of_its_own() -> None:
    own = "<Hooks><Shutdown><Program>/opt/own</Program></Shutdown></Hooks>"
    databases = f"<Databases><Database><Package>/srv/a</Package>{own}</Database></Databases>"

    (database,) = _service(f"{databases}<Hooks>{STARTUP}{SHUTDOWN}</Hooks>").databases

    assert database.hooks.shutdown == Hook(Path("/opt/own"))
    assert database.hooks.startup is not None
    assert database.hooks.startup.program == Path("/opt/quiet")
    assert database.hooks.guard is None


def test_without_hooks_and_limits_there_are_none_and_the_usual_ones() -> None:
    service = _service("")

    assert service.hooks == Hooks()
    assert service.limits == Limits(1, timedelta(minutes=30), timedelta(hours=12))


def test_limits_are_read() -> None:
    limits = _service(
        "<Limits><RunsPerDevice>3</RunsPerDevice><HungAfter>00:05:00</HungAfter>"
        "<OverlongAfter>100:00:00</OverlongAfter><ReadMiBPerSecond>80</ReadMiBPerSecond>"
        "<TakeOver>False</TakeOver></Limits>"
    ).limits

    usual = Limits(3, timedelta(minutes=5), timedelta(hours=100))
    assert limits == replace(usual, read_rate=80 << 20, take_over=False)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<Limits><RunsPerDevice>0</RunsPerDevice></Limits>", "1 to 99"),
        ("<Limits><RunsPerDevice>100</RunsPerDevice></Limits>", "1 to 99"),
        ("<Limits><RunsPerDevice>\u0664</RunsPerDevice></Limits>", "1 to 99"),
        ("<Limits><HungAfter>30</HungAfter></Limits>", "00:30:00"),
        ("<Limits><ReadMiBPerSecond>0</ReadMiBPerSecond></Limits>", "a number of mebibytes"),
        ("<Limits><TakeOver>no</TakeOver></Limits>", "True or False"),
        ("<Limits><HungAfter>00:00:00</HungAfter></Limits>", "longer than no time"),
        ("<Limits><HungAfter>00:61:00</HungAfter></Limits>", "00:30:00"),
        ("<Limits><Hung/></Limits>", "allowed here"),
        ("<Hooks><Startup><Argument>x</Argument></Startup></Hooks>", "<Program> is missing"),
        ("<Hooks><Startup><Program>quiet</Program></Startup></Hooks>", "full path"),
        (f"<Hooks>{SHUTDOWN}{SHUTDOWN}</Hooks>", "twice"),
        ("<Hooks><Before/></Hooks>", "allowed here"),
    ],
)
def test_unusable_hooks_and_limits_are_refused(text: str, why: str) -> None:
    with pytest.raises(SettingsRefusedError, match=why):
        _service(text)
