"""What the settings ask for, under which names: as spec 3.1 and 4.2 have it, and reversible."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.content import Root, Selection, archive_path, select_content, without_nested
from engine.member import Role
from settings.layout import DatabaseLayout
from settings.model import Content
from settings.paths import PathMap, parse_path

PACKAGE = Path("/srv/4d/Invoices")
PROJECT = PACKAGE / "Project" / "Invoices.4DProject"
NOTHING = Content(structure=False, data=False, user_structure=False, attachments=())


def layout(
    structure: Path | None = PROJECT, data_file: Path = PACKAGE / "Data" / "data.4DD"
) -> DatabaseLayout:
    return DatabaseLayout(
        package=PACKAGE,
        structure=structure,
        data_file=data_file,
        log=data_file.with_suffix(".journal"),
        settings_file=PACKAGE / "Settings" / "backup.4DSettings",
        considered=(),
        notes=(),
    )


def content(*parts: str, attachments: tuple[str, ...] = ()) -> Content:
    return Content(
        structure="structure" in parts,
        data="data" in parts,
        user_structure="user structure" in parts,
        attachments=tuple(parse_path(text) for text in attachments),
    )


def selected(
    asked: Content, where: DatabaseLayout | None = None, path_map: PathMap | None = None
) -> Selection:
    return select_content(where or layout(), asked, path_map or PathMap())


def root(source: str | Path, path: bytes, role: Role) -> Root:
    return Root(Path(source), path, role)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "data_file", "name"),
    [
        (PACKAGE / "Project" / "x", None, b"Project/x"),
        (PACKAGE, None, b"."),
        (Path("/srv/4d/Invoices2/x"), None, b"External/srv/4d/Invoices2/x"),
        (Path("/data/a/data.4DD"), Path("/data/a/data.4DD"), b"Data/data.4DD"),
        (Path("/data/a/sub/x"), Path("/data/a/data.4DD"), b"Data/sub/x"),
        (Path("/data/a"), Path("/data/a/data.4DD"), b"Data"),
        (Path("/data/b"), Path("/data/a/data.4DD"), b"External/data/b"),
        (PACKAGE / "Deep" / "x", PACKAGE / "Deep" / "data.4DD", b"Deep/x"),
        (Path(os.fsdecode(b"/mnt/caf\xe9")), None, b"External/mnt/caf\xe9"),
    ],
)
def test_a_source_has_the_name_that_4d_gives_it(
    source: Path, data_file: Path | None, name: bytes
) -> None:
    where = layout() if data_file is None else layout(data_file=data_file)

    assert archive_path(source, where) == name


PATHS = st.lists(
    st.sampled_from(["srv", "4d", "Invoices", "Data", "External", "mnt", "a"]), max_size=5
).map(lambda parts: Path("/", *parts))


@given(PATHS, PATHS, st.sampled_from([PACKAGE / "Data/data.4DD", Path("/mnt/a/data.4DD")]))
def test_two_sources_never_share_a_name(one: Path, other: Path, data_file: Path) -> None:
    if any(path.is_relative_to(PACKAGE / "External") for path in (one, other)):
        return  # the roots of a set tell such a folder of the package from what lies outside of it
    where = layout(data_file=data_file)

    assert (archive_path(one, where) == archive_path(other, where)) == (one == other)


def test_the_packages_own_data_folder_makes_room_for_the_data_that_lies_elsewhere() -> None:
    elsewhere = layout(data_file=Path("/mnt/a/data.4DD"))

    assert archive_path(PACKAGE / "Data/x", layout()) == b"Data/x"
    assert archive_path(PACKAGE / "Data/x", elsewhere) == b"External/srv/4d/Invoices/Data/x"
    assert archive_path(PACKAGE / "Database/x", elsewhere) == b"Database/x"


# --- what is asked for ----------------------------------------------------------------------------


def test_nothing_asked_for_is_nothing_saved() -> None:
    assert selected(NOTHING) == Selection((), (), (), None)


def test_the_data_comes_with_its_settings_and_its_log() -> None:
    found = selected(content("data"))

    assert found.required == (root(PACKAGE / "Data/data.4DD", b"Data/data.4DD", Role.DATA),)
    assert found.wanted == (root(PACKAGE / "Data/Settings", b"Data/Settings", Role.DATA),)
    assert found.log == PACKAGE / "Data" / "data.journal"


def test_a_project_is_its_folder_with_the_settings_beside_it() -> None:
    found = selected(content("structure"))

    assert found.required == (root(PACKAGE / "Project", b"Project", Role.STRUCTURE),)
    assert found.wanted == (root(PACKAGE / "Settings", b"Settings", Role.STRUCTURE),)
    assert found.log is None


def test_a_projects_ending_may_be_in_any_case() -> None:
    found = selected(content("structure"), layout(PACKAGE / "Project" / "Invoices.4dproject"))

    assert found.required == (root(PACKAGE / "Project", b"Project", Role.STRUCTURE),)


@pytest.mark.parametrize("ending", [".4DZ", ".4dz", ".4DC"])
def test_a_packed_structure_is_one_file_without_preferences(ending: str) -> None:
    structure = PACKAGE / f"Invoices{ending}"

    found = selected(content("structure"), layout(structure))

    assert found.required == (root(structure, os.fsencode(structure.name), Role.STRUCTURE),)
    assert found.wanted == (root(PACKAGE / "Settings", b"Settings", Role.STRUCTURE),)


def test_a_binary_structure_has_preferences_too() -> None:
    structure = PACKAGE / "Invoices.4DB"

    found = selected(content("structure"), layout(structure))

    assert found.required == (root(structure, b"Invoices.4DB", Role.STRUCTURE),)
    assert found.wanted == (
        root(PACKAGE / "Settings", b"Settings", Role.STRUCTURE),
        root(PACKAGE / "Preferences", b"Preferences", Role.STRUCTURE),
    )


def test_without_a_structure_there_is_none_to_save_but_its_settings() -> None:
    found = selected(content("structure", "user structure"), layout(None))

    assert found.required == ()
    assert found.wanted == (root(PACKAGE / "Settings", b"Settings", Role.STRUCTURE),)


def test_the_user_structure_lies_beside_the_structure() -> None:
    found = selected(content("user structure"), layout(PACKAGE / "Invoices.4DB"))

    assert found.wanted == (root(PACKAGE / "Invoices.4DA", b"Invoices.4DA", Role.STRUCTURE),)


def test_the_data_is_read_first_and_all_of_it_together() -> None:
    found = selected(content("structure", "data", "user structure"))

    assert [one.role for one in found.required] == [Role.DATA, Role.STRUCTURE]
    assert [one.path for one in found.wanted] == [
        b"Data/Settings",
        b"Settings",
        b"Project/Invoices.4DA",
    ]


# --- attachments ----------------------------------------------------------------------------------


def test_attachments_are_found_by_package_host_and_map() -> None:
    listed = ("./Resources/", "/mnt/docs/", "C:\\docs\\")

    found = selected(
        content(attachments=listed), path_map=PathMap((("C:\\docs\\", "/mnt/windows"),))
    )

    assert [(one.listed, one.root, one.optional) for one in found.attachments] == [
        ("./Resources/", root(PACKAGE / "Resources", b"Resources", Role.ATTACHMENT), False),
        ("/mnt/docs/", root("/mnt/docs", b"External/mnt/docs", Role.ATTACHMENT), False),
        ("C:\\docs\\", root("/mnt/windows", b"External/mnt/windows", Role.ATTACHMENT), False),
    ]
    assert all(one.why == "" for one in found.attachments)


def test_an_attachment_of_another_machine_has_no_place_and_a_reason() -> None:
    (found,) = selected(content(attachments=("C:\\docs\\",))).attachments

    assert found.root is None
    assert "C:\\docs\\" in found.why
    assert not found.optional


@pytest.mark.parametrize(
    ("listed", "is_optional"),
    [
        ("./Data/data.4DIndx", True),
        ("./Data/data.4dindx", True),
        ("./Data/data.4DSyncData", True),
        ("./Data/data.4DSyncHeader", True),
        ("./Data/data.4DD", False),
        ("./4DIndx/", False),
        ("C:\\x\\data.4DIndx", True),
    ],
)
def test_what_4d_rebuilds_by_itself_may_be_missing(listed: str, *, is_optional: bool) -> None:
    (found,) = selected(content(attachments=(listed,))).attachments

    assert found.optional is is_optional


# --- once -----------------------------------------------------------------------------------------


def some_roots(*paths: str) -> tuple[Root, ...]:
    return tuple(
        root(PACKAGE / path, os.fsencode(path) if path else b".", Role.ATTACHMENT) for path in paths
    )


@pytest.mark.parametrize(
    ("roots", "kept"),
    [
        (("a", "a"), ("a",)),
        (("a", "a/b"), ("a",)),
        (("a/b", "a"), ("a/b", "a")),
        (("a", "ab"), ("a", "ab")),
        (("a", "a/b", "a/b/c", "d"), ("a", "d")),
        (("", "a"), ("",)),
    ],
)
def test_what_lies_in_an_earlier_folder_is_saved_once(
    roots: tuple[str, ...], kept: tuple[str, ...]
) -> None:
    assert without_nested(some_roots(*roots)) == some_roots(*kept)


def test_the_whole_package_does_not_hold_what_lies_elsewhere() -> None:
    package = root(PACKAGE, b".", Role.ATTACHMENT)
    outside = root("/mnt/docs", b"External/mnt/docs", Role.ATTACHMENT)

    assert without_nested((package, outside)) == (package, outside)


def test_the_whole_package_does_not_hold_what_has_another_name() -> None:
    package = root(PACKAGE, b".", Role.ATTACHMENT)
    shadowed = root(PACKAGE / "Data", b"External/srv/4d/Invoices/Data", Role.ATTACHMENT)

    assert without_nested((package, shadowed)) == (package, shadowed)
