"""Every path style of 4D files is understood, and none is turned into a look-alike folder."""

from pathlib import Path

import pytest

from settings.errors import UnmappedPathError, UnusablePathError
from settings.model import ForeignKind, ForeignPath, HostPath, PackagePath, SettingsPath
from settings.paths import PathMap, parse_path, resolve_path

PACKAGE = Path("/srv/app")
WINDOWS, UNC, HFS = ForeignKind.WINDOWS, ForeignKind.UNC, ForeignKind.HFS
MAP = PathMap(
    (
        ("C:\\Backups\\Shop", "/mnt/shop"),
        ("C:\\Backups\\", "/srv/backups"),
        ("\\\\nas\\share", "/mnt/nas"),
        ("Macintosh HD:Users:me:", "/home/me"),
        ("/opt/old/", "/opt/new"),
    )
)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("./", PackagePath((), folder=True, raw="./")),
        ("/", PackagePath((), folder=True, raw="/")),
        (".", PackagePath((), folder=True, raw=".")),
        ("./Data\\", PackagePath(("Data",), folder=True, raw="./Data\\")),
        (".\\Data\\", PackagePath(("Data",), folder=True, raw=".\\Data\\")),
        ("Backup/", PackagePath(("Backup",), folder=True, raw="Backup/")),
        ("./a/../b", PackagePath(("a", "..", "b"), folder=False, raw="./a/../b")),
        (
            "./Caf\u00e9 & Co/",
            PackagePath(("Caf\u00e9 & Co",), folder=True, raw="./Caf\u00e9 & Co/"),
        ),
        ("/opt/app/", HostPath("/opt/app", folder=True, raw="/opt/app/")),
        ("/opt//x/./y", HostPath("/opt/x/y", folder=False, raw="/opt//x/./y")),
        ("C:\\x\\", ForeignPath(WINDOWS, "C:", ("x",), folder=True, raw="C:\\x\\")),
        ("C:/x", ForeignPath(WINDOWS, "C:", ("x",), folder=False, raw="C:/x")),
        ("d:\\", ForeignPath(WINDOWS, "d:", (), folder=True, raw="d:\\")),
        (
            "\\\\nas\\share\\x",
            ForeignPath(UNC, "\\\\nas\\share", ("x",), folder=False, raw="\\\\nas\\share\\x"),
        ),
        (
            "//nas/share/x/",
            ForeignPath(UNC, "\\\\nas\\share", ("x",), folder=True, raw="//nas/share/x/"),
        ),
        (
            "Macintosh HD:a b:",
            ForeignPath(HFS, "Macintosh HD", ("a b",), folder=True, raw="Macintosh HD:a b:"),
        ),
        ("Vol:a/b", ForeignPath(HFS, "Vol", ("a/b",), folder=False, raw="Vol:a/b")),
    ],
)
def test_each_style_is_told_apart(raw: str, expected: SettingsPath) -> None:
    assert parse_path(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        "",
        " ",
        " ./",
        "./ ",
        "./a\x00b",
        "./a\nb",
        "\\\\",
        "\\\\nas",
        "\\\\?\\C:\\x",
        "//",
        "\\x",
        "~/x",
        "smb://nas/x",
        "/opt\\x",
        "/.",
        ":a:",
        "Vol::a",
        "Vol:..:a",
        "Vol:a\\b",
        "x" * 5000,
    ],
)
def test_what_could_be_misread_is_no_path(raw: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_path(raw)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("./", "/srv/app"),
        ("/", "/srv/app"),
        ("./Data/../Backup/", "/srv/app/Backup"),
        ("../sets/", "/srv/sets"),
        ("/var/backups/", "/var/backups"),
        ("c:\\backups\\x\\", "/srv/backups/x"),
        ("C:/BACKUPS", "/srv/backups"),
        ("C:\\Backups\\shop\\y", "/mnt/shop/y"),
        ("C:\\Backups\\Shopping\\y", "/srv/backups/Shopping/y"),
        ("\\\\NAS\\Share\\x", "/mnt/nas/x"),
        ("macintosh hd:users:ME:a/b:", "/home/me/a:b"),
        ("/opt/old/x/", "/opt/new/x"),
        ("/opt/older/x/", "/opt/older/x"),
        ("/OPT/old/x/", "/OPT/old/x"),
    ],
)
def test_paths_are_resolved_and_mapped(raw: str, expected: str) -> None:
    assert resolve_path(parse_path(raw), PACKAGE, MAP) == Path(expected)


@pytest.mark.parametrize(
    "raw",
    [
        "C:\\Backup\\x",
        "D:\\Backups\\x",
        "C:\\Backups\\..\\secret\\",
        "Volume:x:",
        "\\\\nas\\other\\x",
    ],
)
def test_a_foreign_path_without_mapping_names_the_line_to_add(raw: str) -> None:
    path = parse_path(raw)

    with pytest.raises(UnmappedPathError) as caught:
        resolve_path(path, PACKAGE, MAP)

    assert caught.value.path == path
    assert "<Map><From>" in str(caught.value)


def test_the_line_to_add_is_exact_xml() -> None:
    with pytest.raises(UnmappedPathError) as caught:
        resolve_path(parse_path("C:\\A & B\\x\\"), PACKAGE, PathMap())

    assert "<Map><From>C:\\A &amp; B\\x\\</From><To>" in str(caught.value)


@pytest.mark.parametrize("raw", ["../../../x", "/../etc", "C:\\Backups\\..\\..\\..\\x"])
def test_no_path_climbs_above_the_top(raw: str) -> None:
    with pytest.raises(UnusablePathError):
        resolve_path(parse_path(raw), PACKAGE, MAP)
