"""An hour is served to the second; what is left out of it is told."""

import pytest

from settings.model import Finding, Severity
from tests.settings.forms import line_of, read, xml


@pytest.mark.parametrize("text", ["02:22:00.500", "0000-00-00T02:22:00.001"])
def test_the_fraction_of_a_second_is_left_out_and_told(text: str) -> None:
    data = xml({"Scheduler/Frequency": "Daily", "Scheduler/Daily/Hour": text})

    why = "the fraction of a second is left out"
    assert read(data).findings == (
        Finding(
            Severity.NOTE,
            "Settings/Scheduler/Daily/Hour",
            line_of(data, text.encode()),
            text,
            text,
            why,
        ),
    )


def test_a_fraction_of_nothing_is_not_told() -> None:
    data = xml({"Scheduler/Frequency": "Daily", "Scheduler/Daily/Hour": "02:22:00.000"})

    assert read(data).findings == ()
