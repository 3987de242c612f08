"""The age of what is not shipped yet: by the record's date, or by when the running service first saw it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.streamlag import Behind, StreamLag
from scheduler.shipping_status import ShippingStatus, shipping_lines, shipping_trouble, with_held
from settings.service_model import LogShipping

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
OLD = 273496774.0


def status(operations: int, seconds: float) -> ShippingStatus:
    lag = StreamLag(Path("/s"), 1, 10, 800, AT, Behind(operations, 500, seconds))
    return ShippingStatus(LogShipping(timedelta(seconds=5)), lag)


def served(seen: float | None, *, seconds: float = OLD, operations: int = 0) -> ShippingStatus:
    row: dict[str, Any] = {"held": None, "seconds": None, "behind_seconds": seen}
    found = with_held(status(operations, seconds), row)
    assert found is not None
    return found


@pytest.mark.parametrize("seen", [None, 1.0])
def test_a_record_with_an_old_date_is_no_trouble_while_the_service_ships(
    seen: float | None,
) -> None:
    assert shipping_trouble(served(seen)) == []
    ((_, words),) = shipping_lines(served(seen), UTC)
    assert f"(500 bytes, the oldest {seen or 0:.0f} s old)" in words


def test_what_the_service_saw_long_ago_is_trouble_and_said_in_a_whole_sentence() -> None:
    assert shipping_trouble(served(125.0)) == [
        "the log is not shipped: 500 bytes, the oldest 2 min 5 s old, in the application's log alone"
    ]


def test_a_young_record_is_as_old_as_it_says() -> None:
    ((_, words),) = shipping_lines(served(None, seconds=4.0, operations=2), UTC)

    assert "2 operations behind (500 bytes, the oldest 4 s old)" in words


def test_without_a_service_only_the_date_is_known() -> None:
    assert shipping_trouble(status(1, OLD)) == [
        "the log is not shipped: 1 operation, the oldest 3165 days 11 h old, in the application's log alone"
    ]
    ((_, words),) = shipping_lines(status(1, OLD), UTC)
    assert "1 operation behind (500 bytes, the oldest 3165 days 11 h old)" in words
