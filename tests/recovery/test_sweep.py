"""What is promised of recovery data is kept, to the slice, and beyond it nothing wrong comes back."""

import random
import shutil
import sysconfig
from collections import Counter
from pathlib import Path

import pytest

from engine import par2run
from settings.model import Rate
from tests.recovery.harm import beyond, make, tried, within

pytestmark = pytest.mark.skipif(shutil.which("par2") is None, reason="par2 is not on this machine")

# one in some thousand of such repairs (engine/par2run.py)
_MAY_GIVE_UP = not (Path(sysconfig.get_path("platlib")) / par2run.BUNDLED).exists()

# (bytes of data, redundancy, interlacing, segments of so many MB)
SHAPES = [
    (300_000, Rate.HIGH, Rate.NONE, 0),
    (3_000_000, Rate.HIGH, Rate.NONE, 0),
    (300_000, Rate.HIGH, Rate.LOW, 0),
    (2_500_000, Rate.HIGH, Rate.LOW, 0),
    (1_000_000, Rate.HIGH, Rate.MEDIUM, 0),
    (4_500_000, Rate.HIGH, Rate.MEDIUM, 0),
    (9_000_000, Rate.HIGH, Rate.HIGH, 0),
    (7_000_000, Rate.HIGH, Rate.NONE, 1),
    (7_300_000, Rate.HIGH, Rate.LOW, 1),
    (30_000, Rate.HIGH, Rate.MEDIUM, 0),
    (2_000_000, Rate.MEDIUM, Rate.NONE, 0),
    (2_000_000, Rate.LOW, Rate.LOW, 0),
]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape)))
def test_damage_inside_the_limit_is_repaired_and_beyond_it_refused(
    shape: tuple[int, Rate, Rate, int], tmp_path: Path
) -> None:
    made = make(tmp_path / "made", *shape)
    tally: Counter[str] = Counter()

    for turn in range(5):
        rng = random.Random(turn)
        for must, cases in ((True, list(within(made, rng))), (False, list(beyond(made, rng)))):
            for case in cases:
                judged = turn == 0
                good, refused = tried(made, case, tmp_path / "case", turn, judged=judged)

                given_up = refused and "of recovery data" in case.kind and _MAY_GIVE_UP
                assert (good, refused) == (must, not must) or given_up, f"{case.kind} {shape}"
                tally["repaired" if good else "refused"] += 1

    print(shape, made.strength, dict(tally))
