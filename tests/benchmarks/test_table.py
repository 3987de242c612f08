"""What the harness says of its measurements: ratios, limits, the row of a table."""

import pytest

from tests.benchmarks.table import (
    Limit,
    Sample,
    Samples,
    judge,
    render_table,
    render_verdict,
    value,
)


def runs(*walls: float, cpu: float = 1.0, peak: float = 10.0, room: int = 0) -> list[Sample]:
    return [Sample(wall, cpu, peak, room=room) for wall in walls]


def test_a_ratio_is_that_of_the_medians_and_one_slow_run_does_not_count() -> None:
    samples = {"tar": runs(10, 11, 99), "ours": runs(5, 77, 5.5)}

    verdict = judge(Limit("ours", ("tar",), 0.5), samples)

    assert verdict.figure == pytest.approx(5.5 / 11)
    assert verdict.rounds == pytest.approx((5.5 / 99, 7.0))


def test_the_faster_one_is_what_is_compared_with() -> None:
    samples = {"restic": runs(20, 1, 20), "borg": runs(10, 10, 10), "ours": runs(5, 5, 5)}

    verdict = judge(Limit("ours", ("restic", "borg"), 0.4), samples)

    assert (verdict.base, verdict.figure, verdict.word) == ("borg", 0.5, "over")


@pytest.mark.parametrize(("wall", "word"), [(6.9, "ok"), (7.0, "ok"), (7.1, "over")])
def test_a_limit_is_kept_up_to_what_it_says(wall: float, word: str) -> None:
    samples = {"tar": runs(10), "ours": runs(wall)}

    assert judge(Limit("ours", ("tar",), 0.7), samples).word == word


def test_what_comes_on_top_is_limited_without_the_base() -> None:
    samples = {"no check": runs(10, 10), "check": runs(14, 16)}

    verdict = judge(Limit("check", ("no check",), 0.5, extra=True), samples)

    assert (verdict.figure, verdict.word) == (0.5, "ok")
    assert verdict.rounds == pytest.approx((0.4, 0.6))


def test_each_measure_is_compared_with_itself() -> None:
    samples = {"tar": runs(1, cpu=8, peak=20, room=400), "ours": runs(9, cpu=4, peak=60, room=100)}

    figures = {
        measure: judge(Limit("ours", ("tar",), 1, measure), samples).figure
        for measure in ("wall", "cpu", "peak", "room")
    }

    assert figures == {"wall": 9, "cpu": 0.5, "peak": 3, "room": 0.25}


def test_of_memory_the_highest_counts() -> None:
    samples = [Sample(1, 1, 10), Sample(1, 1, 151), Sample(1, 1, 12)]

    assert value(samples, "peak") == 151
    assert judge(Limit("ours", (), 150, "peak"), {"ours": samples}).word == "over"


@pytest.mark.parametrize(
    "samples",
    [
        {"ours": runs(1)},
        {"ours": runs(1), "borg": []},
        {"borg": runs(1)},
        {"ours": runs(1), "borg": runs(0)},
    ],
    ids=["no peer", "a peer without runs", "no subject", "a peer that took nothing"],
)
def test_what_cannot_be_compared_is_not_called_ok(samples: Samples) -> None:
    verdict = judge(Limit("ours", ("borg",), 1), samples)

    assert verdict.word == "not measured"
    assert "not measured" in render_verdict(verdict)


def test_a_missing_peer_leaves_the_other_to_be_compared_with() -> None:
    samples = {"ours": runs(1), "restic": runs(4)}

    assert judge(Limit("ours", ("restic", "borg"), 0.4), samples).base == "restic"


def test_a_line_names_figure_limit_and_what_was_compared() -> None:
    samples = {"tar": runs(10, 10), "ours": runs(6, 8)}

    line = render_verdict(judge(Limit("ours", ("tar",), 0.7), samples))

    words = "ok wall of ours / tar: 0.70, at most 0.7 rounds 0.60 to 0.80"
    assert " ".join(line.split()) == words


def test_a_row_shows_least_median_most_and_the_ratio_to_the_first_row() -> None:
    samples = {"tar": runs(4, 2, 3), "ours": runs(1.5, 1, 9), "left out": []}

    rows = [line.split() for line in render_table(samples)[1:]]

    assert [row[:6] for row in rows] == [
        ["tar", "3", "2.00", "3.00", "4.00", "1.00"],
        ["ours", "3", "1.00", "1.50", "9.00", "0.50"],
    ]


def test_a_run_that_others_disturbed_is_marked() -> None:
    quiet, disturbed = Sample(10, 1, 1, other=2.4), Sample(10, 1, 1, other=2.6)

    assert (quiet.disturbed, disturbed.disturbed) == (False, True)
    assert render_table({"ours": [quiet, disturbed]})[-1].endswith("1 disturbed")
