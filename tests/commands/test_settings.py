"""settings check, explain, show, set, schema: what a person and a program read, with the exit codes."""

from pathlib import Path

import pytest
from lxml import etree

from tests.commands.terminal import DAILY, Terminal
from tests.engine.stories import App


def settings_of(app: App) -> Path:
    return app.package / "Settings" / "backup.4DSettings"


def test_good_settings_are_usable(terminal: Terminal, app: App) -> None:
    printed = terminal.types("settings", "check", app.package)

    assert printed.code == 0
    assert f"{settings_of(app)} is usable" in printed.out


def test_a_finding_names_file_line_and_what_was_read(terminal: Terminal, app: App) -> None:
    settings_of(app).write_text(
        "<Preferences4D><Backup><Settings>\n<Advanced>\n"
        "<SetNumber><Value>many</Value></SetNumber></Advanced></Settings></Backup></Preferences4D>"
    )

    printed = terminal.types("settings", "check", app.package)

    assert printed.code == 4
    assert f"{settings_of(app)}, line 3" in printed.out
    assert "'many'" in printed.out
    assert "no backup is made until the errors above are corrected" in printed.out


def test_findings_for_programs(terminal: Terminal, app: App) -> None:
    app.configure({"Scheduler/Frequency": "Weekly", "Scheduler/Weekly/Monday/Save": "False"})

    printed = terminal.types("settings", "check", app.package, "--json")

    assert printed.code == 4
    assert printed.json["refused"] is False
    assert [row["severity"] for row in printed.json["findings"]].count("error") == 1


def test_a_single_file_can_be_checked_whatever_its_name(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "draft.xml"
    file.write_text("<Preferences4D><Backup/></Preferences4D>")

    assert terminal.types("settings", "check", file).code == 0


def test_settings_are_explained_with_the_next_five_slots(terminal: Terminal, app: App) -> None:
    printed = terminal.types("settings", "explain", app.package)

    assert printed.code == 0
    assert str(app.destination) in printed.out
    assert printed.out.count(" 02:30:00") == 5
    assert "The next backups (UTC):" in printed.out


def test_the_explanation_for_programs(terminal: Terminal, app: App) -> None:
    row = terminal.types("settings", "explain", app.package, "--json").json

    assert len(row["next"]) == 5
    assert row["zone"] == "UTC"
    assert len(row["sentences"]) > 3


def test_values_in_force_are_shown_with_the_places_looked_at(terminal: Terminal, app: App) -> None:
    printed = terminal.types("settings", "show", app.package)

    assert printed.code == 0
    assert str(settings_of(app)) in printed.out
    assert str(app.data_file) in printed.out


def test_alternatives_carry_their_form(terminal: Terminal, app: App) -> None:
    values = terminal.types("settings", "show", app.package, "--json").json["values"]

    assert values["schedule"]["form"] == "Daily"
    assert values["retry"]["form"] == "RetryOnce"
    assert values["rotation"]["form"] == "KeepLast"


def test_a_key_is_set_and_the_old_value_told(terminal: Terminal, app: App) -> None:
    printed = terminal.types("settings", "set", app.package, "Frequency", "Never")

    assert printed.code == 0
    assert "Frequency was Daily, is now Never" in printed.out
    assert b"<Frequency>Never</Frequency>" in settings_of(app).read_bytes()


@pytest.mark.parametrize(
    ("key", "value"), [("Frequency", "Yearly"), ("Freqency", "Daily"), ("Value", "-1")]
)
def test_a_key_or_value_that_means_nothing_is_refused_and_the_file_stays(
    terminal: Terminal, app: App, key: str, value: str
) -> None:
    before = settings_of(app).read_bytes()

    printed = terminal.types("settings", "set", app.package, key, "--", value)

    assert printed.code in {2, 4}
    assert printed.err
    assert settings_of(app).read_bytes() == before


def test_set_for_programs(terminal: Terminal, app: App) -> None:
    row = terminal.types("settings", "set", app.package, "Frequency", "Never", "--json").json

    assert (row["old"], row["new"]) == ("Daily", "Never")


def test_the_schema_is_one_that_editors_can_use(terminal: Terminal) -> None:
    printed = terminal.types("settings", "schema")

    assert printed.code == 0
    etree.RelaxNG(etree.fromstring(printed.out.encode()))


def test_only_a_schedule_of_this_machine_is_explained(terminal: Terminal, app: App) -> None:
    app.configure({**DAILY, "General/DestinationFolder": "C:\\Backups\\"})

    printed = terminal.types("settings", "explain", app.package)

    assert printed.code == 0
    assert "PathMap" in printed.all
