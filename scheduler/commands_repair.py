"""The command `repair`: sets that are damaged, repaired from the recovery data beside them."""

from pathlib import Path
from typing import Any

import click

from engine.errors import Exit
from engine.parity import has_parity
from engine.repairing import Mended, repair_recorded
from engine.setwriter import Surroundings
from scheduler.commands_sets import stop_on_signals
from scheduler.context import Context, choose_set, context_of
from scheduler.options import DATA_FILE, JSON, SET
from scheduler.screen import progress_shown, say, say_json
from settings.layout import DatabaseLayout


@click.command()
@click.argument("target", metavar="DATABASE|SET", type=click.Path(path_type=Path))
@SET
@DATA_FILE
@JSON
@click.pass_context
def repair(
    ctx: click.Context, target: Path, number: int | None, data_file: Path | None, *, as_json: bool
) -> int:
    """Repair damaged sets from recovery data (PAR2 files in their folders).

    All sets of DATABASE, the one with --set, or the folder of a SET. Each is verified first and, when something
    was repaired, again. A damaged file is replaced only by one whose checksum is right.
    """
    context = context_of(ctx)
    folders, layout = _chosen(context, target, number, data_file)
    stop = stop_on_signals()
    mended: list[Mended] = []
    with progress_shown(context.clock, quiet=as_json) as report:
        around = Surroundings(context.clock, stop, report)
        for folder in folders:
            mended.append(repair_recorded(folder, layout, context.zone, around))
            if not as_json:
                _say(mended[-1])
    if as_json:
        say_json([_row(one) for one in mended])
    return Exit.DONE if all(one.good for one in mended) else Exit.DAMAGED


def _chosen(
    context: Context, target: Path, number: int | None, data_file: Path | None
) -> tuple[list[Path], DatabaseLayout | None]:
    """The folders of the sets; one whose manifest is lost is a set by its recovery data."""
    if (target / "manifest.json").exists() or has_parity(target):
        return [target.absolute()], None
    layout = context.layout(target, data_file)
    inventory = context.inventory(layout)
    destination = context.destination(layout)
    unusable = [destination / name for name, _ in inventory.unreadable]
    if number is not None:
        lost = [folder for folder in unusable if folder.name.endswith(f"[{number:04d}]")]
        return lost[:1] or [choose_set(inventory, number).folder], layout
    folders = [stored.folder for stored in inventory.sets] + unusable
    return folders or [choose_set(inventory, None).folder], layout


def _say(mended: Mended) -> None:
    name = mended.folder.name
    if mended.before.good:
        say(f"{name}: good; nothing was damaged")
        return
    for text in mended.before.damage:
        say(f"{name}: damaged: {text}")
    if mended.repair is not None:
        for note in mended.repair.notes:
            say(f"  {note}")
    if mended.error is None:
        say(f"{name}: repaired, verified again, and good")
        return
    say(f"{name}: NOT REPAIRED: {mended.error}")
    if mended.error.hint:
        say(f"  what to do: {mended.error.hint}")


def _row(mended: Mended) -> dict[str, Any]:
    repair = mended.repair
    return {
        "folder": str(mended.folder),
        "number": mended.after.number,
        "good": mended.good,
        "damage_before": list(mended.before.damage),
        "damage_after": list(mended.after.damage),
        "repaired": [] if repair is None else list(repair.files),
        "notes": [] if repair is None else list(repair.notes),
        "error": None if mended.error is None else str(mended.error),
        "hint": "" if mended.error is None else mended.error.hint,
        "code": 0 if mended.error is None else int(mended.error.code),
    }
