"""The settings file in force and the parts of a database are found by 4D's rules, with the reasons."""

from pathlib import Path

import pytest

from settings.errors import AmbiguousDataFileError, SettingsNotFoundError
from settings.locate import locate_database

PROJECT = ("Project/App.4DProject", "Data/data.4DD", "Settings/backup.4DSettings")


def package(tmp_path: Path, *names: str) -> Path:
    for name in names:
        file = tmp_path / "app" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"<Preferences4D><Backup/></Preferences4D>")
    return tmp_path / "app"


@pytest.mark.parametrize(
    "start", ["", "Project", "Project/App.4DProject", "Settings/backup.4DSettings"]
)
def test_a_project_is_found_from_any_of_its_parts(tmp_path: Path, start: str) -> None:
    app = package(tmp_path, *PROJECT)

    layout = locate_database(app / start)

    assert layout.package == app
    assert layout.structure == app / "Project/App.4DProject"
    assert layout.data_file == app / "Data/data.4DD"
    assert layout.log == app / "Data/data.journal"
    assert layout.settings_file == app / "Settings/backup.4DSettings"
    assert layout.notes == ()


@pytest.mark.parametrize("name", ["Settings/Backup.4DSettings", "settings/BACKUP.4dsettings"])
def test_the_case_of_names_does_not_matter(tmp_path: Path, name: str) -> None:
    app = package(tmp_path, "Project/App.4DProject", "Data/data.4DD", name)

    assert locate_database(app).settings_file == app / name


def test_of_two_names_by_case_the_one_4d_writes_is_taken_and_said(tmp_path: Path) -> None:
    app = package(tmp_path, *PROJECT, "Settings/Backup.4DSettings")

    layout = locate_database(app)

    assert layout.settings_file.name == "backup.4DSettings"
    assert "Backup.4DSettings" in layout.notes[0]


def test_the_data_files_own_settings_replace_the_default_ones(tmp_path: Path) -> None:
    app = package(tmp_path, *PROJECT, "Data/Settings/backup.4DSettings")

    layout = locate_database(app)

    assert layout.settings_file == app / "Data/Settings/backup.4DSettings"
    reasons = dict(layout.considered)
    assert "external file" in reasons[layout.settings_file]
    assert reasons[app / "Settings/backup.4DSettings"].startswith("not taken")


def test_data_beside_the_structure_has_no_settings_of_its_own(tmp_path: Path) -> None:
    app = package(tmp_path, "App.4DB", "App.4DD", "Settings/backup.4DSettings")

    layout = locate_database(app / "App.4DB")

    assert layout.settings_file == app / "Settings/backup.4DSettings"
    assert layout.data_file == app / "App.4DD"
    assert any("beside the structure" in reason for _, reason in layout.considered)


def test_files_before_v18_are_found(tmp_path: Path) -> None:
    app = package(tmp_path, "App.4DB", "App.4DD", "Preferences/Backup/Backup.XML")

    assert locate_database(app).settings_file == app / "Preferences/Backup/Backup.XML"
    assert locate_database(app / "Preferences/Backup/Backup.XML").package == app


def test_a_settings_file_that_is_named_is_taken(tmp_path: Path) -> None:
    app = package(tmp_path, *PROJECT, "Data/Settings/backup.4DSettings")

    named = locate_database(app / "Settings/backup.4DSettings")
    of_data = locate_database(app / "Data/Settings/backup.4DSettings")

    assert named.settings_file == app / "Settings/backup.4DSettings"
    assert [r for _, r in named.considered if r.startswith("taken")] == ["taken: it was named"]
    assert of_data.package == app


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Data/data.4DD", "Data/test.4DD"), "Data/data.4DD"),
        (("Data/app.4dd", "Data/test.4DD"), "Data/app.4dd"),
        (("Data/other.4DD", "root.4DD"), "Data/other.4DD"),
        (("root.4DD",), "root.4DD"),
        ((), "Data/data.4DD"),
    ],
)
def test_the_data_file_is_chosen_by_rule(
    tmp_path: Path, names: tuple[str, ...], expected: str
) -> None:
    app = package(tmp_path, PROJECT[0], PROJECT[2], *names)

    assert locate_database(app).data_file == app / expected


def test_several_data_files_are_an_error_that_says_how_to_name_one(tmp_path: Path) -> None:
    app = package(tmp_path, PROJECT[0], PROJECT[2], "Data/a.4DD", "Data/b.4DD")

    with pytest.raises(AmbiguousDataFileError, match="<DataFile>") as caught:
        locate_database(app)

    assert len(caught.value.candidates) == 2
    assert locate_database(app, app / "Data/b.4DD").data_file == app / "Data/b.4DD"


def test_a_recorded_data_file_elsewhere_is_found(tmp_path: Path) -> None:
    app = package(tmp_path, PROJECT[0], PROJECT[2])
    data = tmp_path / "far.4DD"
    data.touch()
    block = f"<DataBase><DatabaseName><Item1>{data}</Item1></DatabaseName></DataBase>"
    (app / PROJECT[2]).write_text(f"<Preferences4D><Backup>{block}</Backup></Preferences4D>")

    assert locate_database(app).data_file == data


def test_nothing_there_names_the_places_looked_at(tmp_path: Path) -> None:
    app = package(tmp_path, *PROJECT[:2])

    with pytest.raises(SettingsNotFoundError) as caught:
        locate_database(app)
    with pytest.raises(SettingsNotFoundError):
        locate_database(tmp_path / "nowhere")

    assert app / "Settings/backup.4DSettings" in caught.value.places
    assert app / "Preferences/Backup/Backup.xml" in caught.value.places
