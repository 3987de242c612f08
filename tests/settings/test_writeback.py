"""Write-back changes the bytes of one value and proves it; everything else stays."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from settings.errors import (
    SettingsChangedError,
    SettingsError,
    SettingsRefusedError,
    UnknownKeyError,
)
from settings.keys import KEYS, Key, Kind
from settings.model import PackagePath
from settings.writeback import plan_change, replace_file, write_setting
from tests.settings.forms import BOM, CORPUS, FILE, read, small, xml

WRITABLE = [k for k in KEYS.values() if k.kind is not Kind.ITEMS and "/Transaction/" not in k.path]
ROOT_ONLY = b"<Preferences4D><Backup/></Preferences4D>"


def change(data: bytes, key: str, value: str) -> bytes:
    return plan_change(data, key, value, FILE)


def same_length(one: bytes, other: bytes) -> int:
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def value_for(key: Key) -> st.SearchStrategy[str]:
    match key.kind:
        case Kind.FLAG:
            return st.sampled_from(["True", "False"])
        case Kind.COUNT:
            return st.integers(key.low, key.high).map(str)
        case Kind.CLOCK:
            return st.times().map(lambda at: f"0000-00-00T{at:%H:%M:%S}.000")
        case Kind.DURATION:
            return st.integers(1, 99).map(lambda hours: f"{hours:02}:00:00")
        case Kind.WORD:
            words = [
                w for w in key.words if w in {"Never", "Daily", "Monthly", "None", "Low", "Fast"}
            ]
            return st.sampled_from(words)
        case _:
            names = st.text(
                st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=9
            )
            return names.filter(lambda n: not set(n) & set("/\\")).map(lambda n: f"./{n}/")


@effort(deadline=None)  # the machine may be busy; time bounds have tests of their own
@given(
    st.data(), st.sampled_from(WRITABLE), st.sampled_from(["\n", "\r", "\r\n", ""]), st.booleans()
)
def test_only_the_bytes_of_the_value_change(
    data: st.DataObject, key: Key, line_end: str, bom: bool
) -> None:
    before = BOM * bom + xml(line_end=line_end)
    value = data.draw(value_for(key))

    after = change(before, key.path, value)

    start = same_length(before, after)
    end = len(before) - same_length(before[::-1], after[::-1])
    changed = before[start : max(start, end)]
    assert b"<" not in changed
    assert b"\r" not in changed
    assert len(after.split(b"\r")) == len(before.split(b"\r"))
    assert change(after, key.path, value) == after
    back = change(after, key.path, key.default)
    assert read(back).settings == read(before).settings


@effort(deadline=None)  # the machine may be busy; time bounds have tests of their own
@given(st.data(), st.sampled_from(WRITABLE), st.sampled_from(["\n", "\r", "\r\n", ""]))
def test_a_removed_key_comes_back_in_its_place(
    data: st.DataObject, key: Key, line_end: str
) -> None:
    path = key.path.removeprefix("Settings/")
    value = data.draw(value_for(key))

    after = change(xml({path: None}, line_end), key.path, value)

    assert after == change(xml(line_end=line_end), key.path, value) or key.kind is Kind.DURATION


@pytest.mark.parametrize("key", [k for k in WRITABLE if not k.path.endswith("Frequency")])
@pytest.mark.parametrize("data", [ROOT_ONLY, small(""), small("<Advanced/><General></General>")])
def test_absent_blocks_are_made(key: Key, data: bytes) -> None:
    value = "./x/" if key.kind is Kind.PATH else key.default

    after = change(data, key.path, value)

    assert f">{value}</{key.path.rpartition('/')[2]}>".encode() in after
    assert read(after).findings == ()


@pytest.mark.parametrize(
    ("value", "old", "written"),
    [
        ("02:30", "0000-00-00T00:00:00.000", "0000-00-00T02:30:00.000"),
        ("2:30", "0000-00-00T00:00:00", "0000-00-00T02:30:00"),
        ("02:30:15", "00:00:00", "02:30:15"),
        ("02:30", "00:00:00+02:00", "02:30:00+02:00"),
        ("02:30", "broken", "0000-00-00T02:30:00.000"),
    ],
)
def test_times_keep_the_dialect_of_the_file(value: str, old: str, written: str) -> None:
    after = change(xml({"Scheduler/Daily/Hour": old}), "Scheduler/Daily/Hour", value)

    assert f"<Hour>{written}</Hour>".encode() in after


@pytest.mark.parametrize(
    ("key", "value", "written"),
    [
        ("frequency", "daily", b"<Frequency>Daily</Frequency>"),
        ("Advanced/EraseOldBackupBefore", "true", b"<EraseOldBackupBefore>True</"),
        ("VerboseMode", "0", b"<BackupJournalVerboseMode>False</"),
        ("setnumber/value", "007", b"<Value>7</Value>"),
        ("DestinationFolder", "./A & <B>/", b"<DestinationFolder>./A &amp; &lt;B&gt;/</"),
    ],
)
def test_values_are_written_as_4d_writes_them(key: str, value: str, written: bytes) -> None:
    assert written in change(xml(), key, value)


def test_comments_attributes_and_empty_forms_survive() -> None:
    data = small(
        "<Advanced><!-- a --><SetNumber><Value x='>' /><Enable>True<!--b--></Enable></SetNumber></Advanced>"
    )

    after = change(change(data, "SetNumber/Value", "5"), "SetNumber/Enable", "false")

    assert b"<!-- a --><SetNumber><Value x='>'>5</Value><Enable>False<!--b--></Enable>" in after


def test_a_prefix_is_used_for_new_elements() -> None:
    data = b"<b:Preferences4D xmlns:b='urn:x'><b:Backup/></b:Preferences4D>"

    assert b"<b:Daily><b:Hour>" in change(data, "Daily/Hour", "01:00")


def test_the_manuals_nesting_is_kept() -> None:
    data = small(
        "<Scheduler><Frequency>Daily\n <Daily><Every>1</Every></Daily></Frequency></Scheduler>"
    )

    after = change(change(data, "Daily/Hour", "01:00"), "Frequency", "Never")

    assert (
        b"<Frequency>Never\n <Daily><Every>1</Every><Hour>0000-00-00T01:00:00.000</Hour>" in after
    )


def test_a_refused_file_can_be_set_right_one_value_at_a_time() -> None:
    data = xml({"Advanced/SetNumber/Value": "many", "General/DestinationFolder": ""})

    after = change(change(data, "SetNumber/Value", "3"), "DestinationFolder", "./sets/")

    assert read(after).settings.destination == PackagePath(("sets",), folder=True, raw="./sets/")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Hourly/Every", "25"),
        ("SetNumber/Value", "0"),
        ("SetNumber/Enable", "perhaps"),
        ("DestinationFolder", ""),
        ("DestinationFolder", "./a\nb/"),
        ("DestinationFolder", "./\x01/"),
        ("TryToBackupAfter", "00:00:00"),
        ("TryToBackupAfter", "00:00:00.060"),
        ("Daily/Hour", "24:00"),
        ("CompressionRate", "Zip"),
        ("AutomaticLogIntegrationStrictness", "a\x00b"),
    ],
)
def test_a_value_that_would_not_be_usable_is_refused(key: str, value: str) -> None:
    with pytest.raises(SettingsRefusedError) as caught:
        change(xml(), key, value)

    assert str(FILE) in str(caught.value)


def test_a_frequency_whose_block_cannot_be_served_is_refused() -> None:
    data = xml({"Scheduler/Monthly/Day": "32"})

    with pytest.raises(SettingsRefusedError, match="Monthly/Day"):
        change(data, "Frequency", "Monthly")


@pytest.mark.parametrize(
    ("name", "hint"), [("Freqency", "Frequency"), ("Hour", "Daily/Hour"), ("", "is no key")]
)
def test_an_unclear_key_is_refused_with_near_ones(name: str, hint: str) -> None:
    with pytest.raises(UnknownKeyError, match=hint):
        change(xml(), name, "1")


def test_a_key_that_is_there_twice_is_left_alone() -> None:
    data = small(
        "<Advanced><CompressionRate>Fast</CompressionRate><CompressionRate>Fast</CompressionRate></Advanced>"
    )

    with pytest.raises(SettingsRefusedError, match="2 times"):
        change(data, "CompressionRate", "None")


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus beside the project")
def test_every_public_file_can_be_changed_and_changed_back() -> None:
    for file in sorted(CORPUS.glob("*.xml")):
        before = file.read_bytes()
        after = change(before, "SetNumber/Value", "14")
        assert after == before.replace(b"<Value>3</Value>", b"<Value>14</Value>"), file
        assert change(after, "SetNumber/Value", "3") == before, file


def test_the_file_is_replaced_whole_and_keeps_its_mode_and_links(tmp_path: Path) -> None:
    real = tmp_path / "real" / "backup.4DSettings"
    real.parent.mkdir()
    real.write_bytes(xml())
    real.chmod(0o640)
    link = tmp_path / "backup.4DSettings"
    link.symlink_to(real)

    assert write_setting(link, "SetNumber/Value", "9") == ("3", "9")

    assert link.is_symlink()
    assert real.read_bytes() == xml({"Advanced/SetNumber/Value": "9"})
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert [p.name for p in real.parent.iterdir()] == ["backup.4DSettings"]


def test_a_refused_change_leaves_the_file_and_no_traces(tmp_path: Path) -> None:
    file = tmp_path / "backup.4DSettings"
    file.write_bytes(xml())

    with pytest.raises(SettingsError):
        write_setting(file, "SetNumber/Value", "none")

    assert file.read_bytes() == xml()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_change_by_somebody_else_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "backup.4DSettings"
    file.write_bytes(b"theirs")

    with pytest.raises(SettingsChangedError):
        replace_file(file, b"as it was read", b"ours")

    assert file.read_bytes() == b"theirs"
    assert len(list(tmp_path.iterdir())) == 1


def test_offsets_are_right_far_into_a_large_file() -> None:
    items = "".join(f"<Item{n}>./caf\u00e9 {n}/</Item{n}>\r" for n in range(1, 3001))
    tail = "<Scheduler><Frequency>Never</Frequency></Scheduler>"
    data = small(f"<General><IncludesFiles>{items}</IncludesFiles></General>{tail}")

    after = change(data, "Frequency", "Daily")

    assert len(data) > 100_000
    assert after == data.replace(b">Never<", b">Daily<")
    assert read(data.replace(b">Never<", b">?<")).findings[0].line == 3001
    assert len(read(after).settings.content.attachments) == 3000
