"""What a record carries is read right, or called not understood; never anything between."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.logfile import DescriptorReader, LogFormat, Record, Window, records
from engine.logpayload import (
    NOTHING,
    Details,
    NotUnderstoodError,
    has_right_checksum,
    operation_name,
    parse_details,
    read_details,
)
from engine.xorsum import xor_pieces, xor_words
from tests.engine.logs import Bytes
from tests.engine.real_shapes import (
    OTHER_TABLE,
    TABLE,
    LogMaker,
    blob,
    deletion,
    long_key,
    morning,
    row,
    sequence,
    text_key,
    uuid_key,
    xor_of,
)

KINDS = [
    (24, long_key(-5) + row(b"data", 9), Details(TABLE, 9, "-5", size=4, row=58)),
    (25, uuid_key(b"\xab" * 16) + row(b"", 0), Details(TABLE, 0, "AB" * 16, size=0, row=70)),
    (24, text_key("no. 7") + row(b"x" * 5), Details(TABLE, 3, "no. 7", size=5, row=68)),
    (1, row(b"old"), Details(TABLE, 3, size=3, row=48)),
    (2, row(b"old", table=OTHER_TABLE), Details(OTHER_TABLE, 3, size=3, row=48)),
    (3, struct.pack("<i16s", 4, TABLE), Details(TABLE, 4)),
    (21, struct.pack("<i16s", -1, TABLE), Details(TABLE)),
    (23, sequence(-12), Details(TABLE, sequence=-12)),
    (26, deletion(long_key(8), 2), Details(TABLE, 2, "8")),
    (27, blob(long_key(8), b"12345", 2), Details(TABLE, 2, "8", 8, size=5)),
    (28, blob(text_key(""), b"", 2), Details(TABLE, 2, "", 8, size=0)),
    (29, long_key(8) + struct.pack("<ii16s", 8, 2, TABLE), Details(TABLE, 2, "8", 8)),
    *((kind, b"", NOTHING) for kind in (4, 5, 6, 7, 8, 16, 20, 30, 31)),
]


def without_checksum(details: Details) -> Details:
    return details._replace(checksum=None)


@pytest.mark.parametrize(("kind", "payload", "expected"), KINDS)
def test_each_kind_tells_what_it_is_about(kind: int, payload: bytes, expected: Details) -> None:
    assert without_checksum(parse_details(kind, payload, len(payload))) == expected


@pytest.mark.parametrize(("kind", "payload"), [(kind, payload) for kind, payload, _ in KINDS])
def test_a_payload_of_any_other_length_is_not_understood(kind: int, payload: bytes) -> None:
    for other in [payload[:cut] for cut in range(len(payload))] + [payload + b"\0"]:
        with pytest.raises(NotUnderstoodError):
            parse_details(kind, other, len(other))


@pytest.mark.parametrize(
    "key",
    [
        struct.pack("<iH", 1, 99) + bytes(50),
        struct.pack("<iHI", 1, 10, 0xFFFFFFFF) + bytes(50),
        struct.pack("<i", -1) + bytes(50),
        struct.pack("<i", 1 << 30) + bytes(50),
    ],
)
def test_a_key_that_is_not_known_is_not_guessed_at(key: bytes) -> None:
    with pytest.raises(NotUnderstoodError):
        parse_details(24, key + row(b"data"), len(key) + 60)


def test_a_key_of_two_fields_is_both() -> None:
    key = struct.pack("<iHiHh", 2, 4, 5, 3, -6)

    assert parse_details(26, deletion(key), len(deletion(key))).key == "5, -6"


def test_a_kind_never_met_has_its_number_and_nothing_is_said_of_it() -> None:
    assert operation_name(77) == "type 77"
    assert operation_name(23) == "Save seqnum"
    assert parse_details(77, b"whatever", 8) is NOTHING


def one_record(kind: int, payload: bytes) -> tuple[Window, Record]:
    window = Window(Bytes(LogMaker().add(kind, payload).content()))
    (found,) = records(window, LogFormat.CURRENT)
    return window, found


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 7, 100, 1021, 3 << 20])
def test_the_checksum_of_a_row_shows_a_changed_word_and_not_the_last_odd_bytes(size: int) -> None:
    data = bytes(at * 7 & 255 for at in range(size))
    payload = long_key(1) + row(data)
    window, found = one_record(24, payload)

    assert has_right_checksum(window, found, read_details(window, found))
    for at in {0, size // 2, size - 1} if size else set[int]():
        changed = bytearray(payload)
        changed[58 + at] ^= 16
        window, found = one_record(24, bytes(changed))
        is_seen = at < size // 4 * 4
        assert has_right_checksum(window, found, read_details(window, found)) is not is_seen


def test_what_has_no_row_has_no_checksum_to_be_wrong() -> None:
    window, found = one_record(27, blob(long_key(1), b"content"))

    assert has_right_checksum(window, found, read_details(window, found))


@given(st.binary(max_size=300))
def test_words_are_xored_as_the_plainest_loop_does_it(data: bytes) -> None:
    assert xor_words(data) == xor_of(data)
    assert xor_pieces([data[:64], data[64:]]) == xor_of(data)


@given(st.integers(0, 40), st.binary(max_size=200), st.integers(0, 300))
def test_no_payload_brings_anything_but_details_or_not_understood(
    kind: int, front: bytes, length: int
) -> None:
    try:
        details = parse_details(kind, front, length)
    except NotUnderstoodError:
        return
    assert details.table is None or len(details.table) == 16


def test_only_the_front_of_a_long_record_is_read() -> None:
    made = LogMaker().add(27, blob(long_key(1), bytes(5_000_000))).add(8)
    reader = Bytes(made.content())
    window = Window(reader)

    sizes = [read_details(window, one).size for one in records(window, LogFormat.CURRENT)]

    assert sizes == [5_000_000, None]
    assert sum(reader.reads) < 2_200_000
    assert max(reader.reads) <= 1 << 20


def test_everything_in_a_morning_is_understood() -> None:
    file = morning()
    window = Window(Bytes(file.content()))

    found = [
        read_details(window, one) for one in records(window, LogFormat.CURRENT) if one.kind != 22
    ]

    assert len(found) == len(file.parts) - 2
    assert {details.table for details in found} == {None, TABLE, OTHER_TABLE}


def test_a_file_is_read_at_the_length_it_had(tmp_path: Path) -> None:
    file = tmp_path / "data.journal"
    file.write_bytes(morning().content())
    with file.open("rb") as stream:
        window = Window(DescriptorReader(stream.fileno()))
        with file.open("ab") as end:
            end.write(b"more")
        found = list(records(window, LogFormat.CURRENT))

    assert found[-1].end == window.size
