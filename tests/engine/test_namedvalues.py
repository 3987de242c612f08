"""Named values are read as 4D writes them; lengths and counts in them are never believed."""

import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.namedvalues import MOST_BYTES, NoValuesError, parse_values
from tests.engine.real_shapes import bag, context_values, long_value, names, text_value

HEAD = b"GABV" + struct.pack("<I", 1)


def test_texts_numbers_and_ids_come_out_under_their_names() -> None:
    values = {
        "text": text_value("h\u00e9"),
        "long": long_value(-3),
        "short": struct.pack("<Hh", 3, -4),
        "yes": struct.pack("<HH", 1, 1),
        "no": struct.pack("<HH", 1, 0),
        "id": struct.pack("<H", 13) + bytes(range(16)),
        "real": struct.pack("<Hd", 6, 1.5),
    }

    found = parse_values(HEAD + bag(values)).values

    assert found == {
        "text": "h\u00e9",
        "long": -3,
        "short": -4,
        "yes": True,
        "no": False,
        "id": bytes(range(16)),
        "real": struct.pack("<d", 1.5),
    }


def test_bags_inside_of_bags_are_found_by_name() -> None:
    inner = bag({"filepath": text_value("./data.journal")})
    outer = HEAD + b"\2" + names("other", "journal_file") + struct.pack("<I", 0)
    outer += struct.pack("<I", 2) + inner + bag({})

    found = parse_values(outer)

    journal = found.first("journal_file")
    assert journal is not None
    assert journal.values == {"filepath": "./data.journal"}
    assert len(found.bags["journal_file"]) == 2
    assert found.first("other") is None
    assert found.first("nothing") is None


def test_an_index_of_names_is_passed_over() -> None:
    plain = names("a")
    indexed = plain[:-1] + struct.pack("<BIi", 1, 1, 0)
    value = long_value(5)

    assert parse_values(HEAD + b"\1" + indexed + struct.pack("<I", 3) + value).values == {"a": 5}


def test_a_block_cut_anywhere_is_none() -> None:
    whole = context_values()

    for cut in range(len(whole)):
        with pytest.raises(NoValuesError):
            parse_values(whole[:cut])


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"GABW" + context_values()[4:],
        HEAD + b"\1" + struct.pack("<II", 0xFFFFFFFF, 4) + b"\1a\1b\0",
        HEAD + b"\1" + struct.pack("<II", 1, 0xFFFFFFFF) + b"\1a\0",
        HEAD + b"\1" + names("a") + struct.pack("<I", 0xFFFFFFFF) + long_value(1),
        HEAD + b"\1" + names("a") + struct.pack("<I", 3) + struct.pack("<HI", 99, 1),
        HEAD + b"\1" + names("a") + struct.pack("<I", 5) + struct.pack("<HI", 10, 0xFFFFFFFF),
        HEAD + b"\1" + names("a")[:-1] + b"\1" + struct.pack("<I", 0xFFFFFFFF),
        HEAD + b"\2" + names("a") + struct.pack("<I", 0xFFFFFFFF),
        HEAD + (b"\2" + names("a") + struct.pack("<I", 1)) * 2000 + b"\0",
        HEAD + b"\0" + bytes(MOST_BYTES),
    ],
)
def test_what_cannot_be_is_refused_at_once(block: bytes) -> None:
    began = time.perf_counter()

    with pytest.raises(NoValuesError):
        parse_values(block)

    assert time.perf_counter() - began < 1


def test_more_bags_than_any_real_block_has_are_refused() -> None:
    for many, is_real in ((1900, True), (2100, False), (60_000, False)):
        block = HEAD + b"\2" + names("a") + struct.pack("<I", many) + bytes(many)
        if is_real:
            assert len(parse_values(block).bags["a"]) == many
            continue
        with pytest.raises(NoValuesError, match="more named values"):
            parse_values(block)


@given(st.binary(max_size=400))
def test_no_bytes_bring_another_error(data: bytes) -> None:
    try:
        parse_values(HEAD + data)
    except NoValuesError:
        return
