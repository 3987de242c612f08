"""Every kind of file that is damaged, and how much of it."""

from pathlib import Path

from tests.damage import of_databases, of_services, of_sets
from tests.damage.kinds import Kind
from tests.damage.sweep import Figures, every_damage, made, sampled, sweep

ALL_KINDS: tuple[Kind, ...] = (*of_sets.KINDS, *of_databases.KINDS, *of_services.KINDS)
_FLIPS, _CUTS = 600, 200


def sweep_whole(kind: Kind, folder: Path) -> Figures:
    """Every place of a small file, 600 bytes and 200 lengths of a larger one."""
    stage = made(kind, folder)
    return sweep(kind, stage, every_damage(stage.content, most_flips=_FLIPS, most_cuts=_CUTS))


def sweep_sample(kind: Kind, folder: Path, count: int) -> Figures:
    """A few of each kind of damage."""
    stage = made(kind, folder)
    damages = every_damage(stage.content, most_flips=_FLIPS, most_cuts=_CUTS)
    return sweep(kind, stage, sampled(damages, count))
