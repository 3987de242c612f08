"""Hostile and broken files are refused quickly, clearly, and with flat memory."""

import contextlib
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from settings.errors import SettingsNotFoundError, SettingsRefusedError
from settings.reader import load_settings, parse_settings
from tests.settings.forms import BOM, FILE, xml

WORST = Path(__file__).parent / "worst"
LIMIT_SECONDS = 0.05
GOOD = xml().decode()

HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "blank": (b" \r\n ", "empty"),
    "bom only": (BOM, "not XML"),
    "prose": (b"keep the last 3 sets", "not XML"),
    "json": (b'{"a": 1}', "not XML"),
    "zeros": (b"\0" * 4096, "UTF-16"),
    "utf-16": (GOOD.encode("utf-16"), "UTF-16"),
    "utf-16 without bom": (GOOD.encode("utf-16-le"), "UTF-16"),
    "utf-32": (GOOD.encode("utf-32"), "UTF-16 or UTF-32"),
    "utf-32 without bom": (GOOD.encode("utf-32-be"), "UTF-16 or UTF-32"),
    "latin-1": (GOOD.replace("UTF-8", "ISO-8859-1").encode(), "only UTF-8"),
    "invalid utf-8": (GOOD.replace("./<", "./\xe9<").encode("latin-1"), "not UTF-8"),
    "doctype": (b"<!DOCTYPE Preferences4D><Preferences4D/>", "DOCTYPE"),
    "external": (b'<!DOCTYPE a SYSTEM "http://192.0.2.1/x.dtd"><a/>', "DOCTYPE"),
    "late doctype": (b"<!--" + b" " * 70000 + b"--><!DOCTYPE a><a/>", "settings file"),
    "undeclared entity": (b"<Preferences4D>&boom;</Preferences4D>", "well-formed"),
    "no end": (b"<Preferences4D><Backup>", "well-formed"),
    "other root": (b"<Preferences><Backup/></Preferences>", "Preferences4D"),
    "no backup": (b"<Preferences4D/>", "Preferences4D"),
    "two backups": (b"<Preferences4D><Backup/><Backup/></Preferences4D>", "Preferences4D"),
    "deep": (b"<a>" * 100_000 + b"</a>" * 100_000, "deeper"),
    "wide": (b"<a>" + b"<b/>" * 200_000 + b"</a>", "elements"),
    "long text": (b"<a>" + b"x" * 900_000 + b"</a>", "characters"),
    "many references": (b"<a>" + b"&amp;" * 150_000 + b"</a>", "characters"),
    "comment without end": (b"<!--" + b"-" * 60_000, "near the start"),
    "too large": (b"<a/>" + b" " * (2 << 20), "too large"),
    "prefix without namespace": (b"<x:a/>", "well-formed"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_refused_at_once_with_flat_memory(name: str) -> None:
    data, words = HOSTILE[name]

    with pytest.raises(SettingsRefusedError) as caught:
        parse_settings(data, FILE)

    assert str(FILE) in str(caught.value)
    assert words in str(caught.value)
    assert min(_seconds(data) for _ in range(5)) < LIMIT_SECONDS
    assert _peak_of(lambda: parse_settings(data, FILE)) < 8 << 20


@pytest.mark.parametrize("name", sorted(p.name for p in WORST.iterdir()))
def test_the_worst_files_are_refused_clearly(name: str) -> None:
    with pytest.raises(SettingsRefusedError) as caught:
        load_settings(WORST / name)

    assert str(WORST / name) in str(caught.value)
    assert ", line " in str(caught.value)


def test_a_file_with_three_dangerous_values_names_all_three() -> None:
    with pytest.raises(SettingsRefusedError) as caught:
        load_settings(WORST / "looks-repairable.4DSettings")

    named = {finding.element.rpartition("/")[2] for finding in caught.value.findings[:3]}
    assert named == {"Value", "EraseOldBackupBefore", "DestinationFolder"}


def test_a_gigabyte_is_refused_without_being_read(tmp_path: Path) -> None:
    file = tmp_path / "backup.4DSettings"
    with file.open("wb") as stream:
        stream.truncate(1 << 30)

    started = time.perf_counter()
    with pytest.raises(SettingsRefusedError, match=r"1073741824 bytes is too large"):
        load_settings(file)

    assert time.perf_counter() - started < LIMIT_SECONDS


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_only_regular_files_are_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "odd")

    with pytest.raises(SettingsRefusedError, match="regular"):
        load_settings(tmp_path / "odd")


def test_a_device_is_not_read() -> None:
    with pytest.raises(SettingsRefusedError, match="regular"):
        load_settings(Path("/dev/zero"))


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(SettingsNotFoundError) as caught:
        load_settings(tmp_path / "none")

    assert caught.value.places == (tmp_path / "none",)


def _accepts_or_refuses(data: bytes) -> None:
    with contextlib.suppress(SettingsRefusedError):
        parse_settings(data, FILE)


@effort(deadline=None)  # the machine may be busy; time bounds have tests of their own
@given(st.binary(max_size=400))
def test_random_bytes_are_read_or_refused(data: bytes) -> None:
    _accepts_or_refuses(data)
    _accepts_or_refuses(b"<Preferences4D>" + data)


@effort(deadline=None)  # the machine may be busy; time bounds have tests of their own
@given(st.integers(0, len(GOOD)), st.integers(0, 60), st.binary(max_size=12))
def test_mutated_files_are_read_or_refused(at: int, length: int, patch: bytes) -> None:
    good = GOOD.encode()

    _accepts_or_refuses(good[:at] + patch + good[at + length :])


@effort(deadline=None)  # the machine may be busy; time bounds have tests of their own
@given(
    st.sampled_from(["Value", "Enable", "DestinationFolder", "Hour", "Every", "TryToBackupAfter"]),
    st.text(st.characters(codec="utf-8", exclude_characters="<&"), max_size=30),
)
def test_any_text_in_any_key_is_read_or_refused(name: str, text: str) -> None:
    opening = f"<{name}>"
    before, _, after = GOOD.partition(opening)

    _accepts_or_refuses(f"{before}{opening}{text}{after[after.index('<') :]}".encode())


def _seconds(data: bytes) -> float:
    started = time.perf_counter()
    with pytest.raises(SettingsRefusedError):
        parse_settings(data, FILE)
    return time.perf_counter() - started


def _peak_of(step: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(SettingsRefusedError):
            step()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
