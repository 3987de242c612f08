"""A ledger is read up to its first torn line; what a piece and a live log are to each other is decided from bytes."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as some

from engine.logfile import LogFacts, LogFormat
from engine.streamledger import (
    Beginning,
    Closing,
    Entry,
    Ledger,
    LedgerError,
    parse_ledger,
    render_ledger,
    render_line,
)
from engine.streamsight import Marks, Sight, judge, needed_pieces
from tests.engine.logs import DATALINK

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
BEGINNING = Beginning(3, "/srv/é.4DD", "/srv/é.journal", "host 01", NOW, b"GOl4ATAD" + DATALINK)
ENTRIES = (
    Entry(0, 100, "aa", None, NOW),
    Entry(0, 300, "bb", 7, NOW),
    Entry(300, 400, "cc", 9, NOW),
)
CLOSING = Closing("the log was renewed", 12, NOW)
WHOLE = b"".join(render_line(fact) for fact in (BEGINNING, *ENTRIES, CLOSING))


def test_what_was_written_is_read_again() -> None:
    read = parse_ledger(WHOLE)

    assert read == Ledger(BEGINNING, ENTRIES, CLOSING, len(WHOLE))
    assert (read.end, read.last) == (400, 9)


def test_only_the_last_line_of_each_stretch_is_kept_when_it_is_tidied() -> None:
    tidied = parse_ledger(render_ledger(parse_ledger(WHOLE)))

    assert (tidied.beginning, tidied.entries, tidied.closing) == (BEGINNING, ENTRIES[1:], CLOSING)


@given(cut=some.integers(0, len(WHOLE) - 1))
def test_a_torn_ledger_is_read_up_to_its_last_whole_line(cut: int) -> None:
    lines = WHOLE[:cut].count(b"\n")
    if not lines:
        with pytest.raises(LedgerError):
            parse_ledger(WHOLE[:cut])
        return

    read = parse_ledger(WHOLE[:cut])

    assert read.entries == ENTRIES[: lines - 1]
    assert read.good_bytes == WHOLE[:cut].rfind(b"\n") + 1


@given(at=some.integers(0, len(WHOLE) - 1), flip=some.integers(1, 255))
def test_no_changed_byte_is_believed(at: int, flip: int) -> None:
    changed = bytearray(WHOLE)
    changed[at] ^= flip
    try:
        read = parse_ledger(bytes(changed))
    except LedgerError:
        return

    assert read.beginning == BEGINNING
    assert read.entries == ENTRIES[: len(read.entries)]
    assert read != parse_ledger(WHOLE)


@given(some.binary(max_size=300))
def test_garbage_is_no_ledger(data: bytes) -> None:
    with pytest.raises(LedgerError):
        parse_ledger(data)


def test_a_newer_ledger_is_left_alone() -> None:
    newer = render_line(BEGINNING).replace(b'"version": 1', b'"version": 2')
    body = newer[17:-1]
    mark = hashlib.sha256(body).hexdigest()[:16].encode()

    with pytest.raises(LedgerError, match="newer backup4d"):
        parse_ledger(mark + b" " + body + b"\n")


@pytest.mark.parametrize(
    "wrong",
    [Entry(0, 300, "x", 7, NOW), Entry(200, 500, "x", 7, NOW), Entry(400, 400, "x", 7, NOW)],
)
def test_an_entry_that_does_not_carry_on_ends_what_is_believed(wrong: Entry) -> None:
    data = b"".join(render_line(fact) for fact in (BEGINNING, *ENTRIES, wrong, CLOSING))

    read = parse_ledger(data)

    assert (read.entries, read.closing) == (ENTRIES, None)


HEAD = b"GOl4ATAD" + DATALINK
PIECE = Marks(300, HEAD + b"first record", b"the last record")
FACTS = LogFacts(500, 500, LogFormat.CURRENT, DATALINK, before=0, first=0, last=12)


@pytest.mark.parametrize(
    ("live", "before", "sight"),
    [
        (Marks(500, PIECE.head, PIECE.tail), 0, Sight.SAME),
        (Marks(300, PIECE.head, PIECE.tail), 0, Sight.SAME),
        (Marks(299, PIECE.head, PIECE.tail[:-1]), 0, Sight.SHORTER),
        (Marks(500, PIECE.head, b"another record!"), 0, Sight.FORKED),
        (Marks(500, HEAD + b"other record", b""), 9, Sight.RENEWED),
        (Marks(500, HEAD + b"other record", b""), 10, Sight.RENEWED_UNSEEN),
        (Marks(500, HEAD + b"other record", b""), 8, Sight.RESTARTED),
        (Marks(24, HEAD, b""), None, Sight.RENEWED),
        (Marks(30, HEAD + b"first ", b""), None, Sight.SHORTER),
        (Marks(30, HEAD + b"other ", b""), None, Sight.RENEWED),
        (Marks(500, b"GOl4ATAD" + bytes(16) + b"first record", PIECE.tail), 0, Sight.OTHER),
        (Marks(0, b"", b""), None, Sight.OTHER),
    ],
)
def test_what_the_live_log_is_to_the_piece(live: Marks, before: int | None, sight: Sight) -> None:
    assert judge(PIECE, live, 9, replace(FACTS, before=before)) is sight


def test_a_piece_with_nothing_in_it_is_that_of_any_log_with_its_header() -> None:
    assert judge(Marks(0, HEAD, b""), Marks(500, HEAD, b""), None, FACTS) is Sight.SAME


@pytest.mark.parametrize(
    ("kept", "needed"),
    [
        ((7, 8, 9), {1, 2}),  # piece 1 was closed after set 6: set 7 may have been under way
        ((8, 9, 10), {2}),
        ((9, 10), set()),
        ((7, 12), {1, 2}),
        ((), {1, 2}),
    ],
)
def test_a_closed_piece_stays_while_a_kept_set_may_lead_into_it(
    kept: tuple[int, ...], needed: set[int]
) -> None:
    assert needed_pieces({1: 6, 2: 7}, kept, in_doubt=False) == needed
    assert needed_pieces({1: 6, 2: 7}, kept, in_doubt=True) == {1, 2}
