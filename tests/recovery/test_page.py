"""docs/archive-options.md promises of recovery data what the code computes."""

import re

import pytest

from engine.redundancy import SLICES, promised
from settings.model import Rate
from tests.docs.pages import page

PAGE = page("archive-options.md")
_ROW = re.compile(r"^\| (\w+) \| (\d+) % \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)


@pytest.mark.parametrize("redundancy", [Rate.LOW, Rate.MEDIUM, Rate.HIGH])
def test_the_table_is_what_is_promised(redundancy: Rate) -> None:
    (row,) = (found for found in _ROW.findall(PAGE) if found[0] == redundancy.value)
    table = [promised(redundancy, interlacing) for interlacing in Rate]

    assert [int(text) for text in row[2:]] == [sectors for _, sectors, _ in table]
    assert {int(row[1])} == {share for share, _, _ in table}


def test_the_slices_and_sizes_are_those_of_the_code() -> None:
    low, most = " ".join(map(str, list(SLICES.values())[:3])), SLICES[Rate.HIGH]

    assert f"There are {low.replace(' ', ', ')} or {most} of them" in PAGE
    for interlacing, text in zip(Rate, ("400 KB", "1.6 MB", "4 MB", "8 MB"), strict=True):
        value, unit = text.split()
        size = float(value) * {"KB": 1 << 10, "MB": 1 << 20}[unit]
        assert text in PAGE
        assert 0.95 < promised(Rate.LOW, interlacing)[2] / size <= 1.0
