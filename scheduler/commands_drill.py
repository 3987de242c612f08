"""The command `drill`: proves now that a set can be restored, as the service does by itself."""

from pathlib import Path

import click

from engine.drill import DrillOrder, Proven, drill_recorded, usable_scratch
from engine.errors import Exit, MissingSetError
from engine.setwriter import Surroundings
from scheduler.commands_sets import stop_on_signals
from scheduler.context import Context, choose_set, context_of
from scheduler.options import DATA_FILE, JSON, SET
from scheduler.proof_status import took_words
from scheduler.screen import progress_shown, say, say_json, size_words
from settings.layout import DatabaseLayout
from settings.service_model import Drill, Hook


@click.command()
@click.argument("target", metavar="DATABASE|SET", type=click.Path(path_type=Path))
@SET
@DATA_FILE
@click.option(
    "--scratch",
    type=click.Path(path_type=Path),
    help="The folder to restore into for the moment; by default that of the service file.",
)
@click.option(
    "--check",
    "program",
    type=click.Path(path_type=Path),
    help="A program that looks at the restored folder; by default that of the service file.",
)
@JSON
@click.pass_context
def drill(  # noqa: PLR0913 - options of a command
    ctx: click.Context,
    target: Path,
    *,
    number: int | None,
    data_file: Path | None,
    scratch: Path | None,
    program: Path | None,
    as_json: bool,
) -> int:
    """Restore a set into a scratch folder, compare every byte, let a program check it, time it, and remove it.

    Of DATABASE the newest complete set or the one with --set, or the folder of a SET. The live application is
    never touched. The drill is journaled, and `status` says when a restore was last proven.
    """
    context = context_of(ctx)
    folder, layout = _choose(context, target, number, data_file)
    asked = context.service.drill if layout is None else context.entry(layout).drill
    order = _order(asked, scratch, program)
    usable_scratch(order.scratch, folder, layout)
    with progress_shown(context.clock, quiet=as_json) as report:
        around = Surroundings(context.clock, stop_on_signals(), report)
        proven = drill_recorded(folder, order, layout, context.zone, around)
    if as_json:
        say_json(
            {
                "number": proven.number,
                "set": str(proven.folder),
                "files": proven.files,
                "content_bytes": proven.content_bytes,
                "seconds": round(proven.seconds, 3),
                "check": None if order.check is None else str(order.check.program),
                "check_said": proven.check,
                "proven": True,
            }
        )
    else:
        _say(proven, order)
    return Exit.DONE


def _choose(
    context: Context, target: Path, number: int | None, data_file: Path | None
) -> tuple[Path, DatabaseLayout | None]:
    if (target / "manifest.json").is_file():
        return target.absolute(), None
    layout = context.layout(target, data_file)
    inventory = context.inventory(layout)
    chosen = choose_set(inventory, number)
    if number is not None:
        return chosen.folder, layout
    complete = [stored for stored in inventory.sets if stored.facts.complete]
    if not complete:
        raise MissingSetError(
            "this database has no complete set", hint="name a partial one with --set"
        )
    return complete[-1].folder, layout


def _order(asked: Drill | None, scratch: Path | None, program: Path | None) -> DrillOrder:
    if scratch is None and asked is None:
        raise click.UsageError(
            "no folder to restore into: name one with --scratch, or ask for drills in the service file"
        )
    check = None if asked is None else asked.check
    if program is not None:
        check = Hook(program.absolute())
        if asked is not None and asked.check is not None:
            check = Hook(program.absolute(), time_limit=asked.check.time_limit)
    if scratch is not None:
        return DrillOrder(scratch.absolute(), None, check)
    assert asked is not None  # noqa: S101 - refused above
    return DrillOrder(asked.scratch, asked.room_limit, check)


def _say(proven: Proven, order: DrillOrder) -> None:
    say(
        f"set {proven.number} can be restored: {proven.files} files, {size_words(proven.content_bytes)} "
        f"in {took_words(proven.seconds)}, {size_words(int(proven.rate))}/s"
    )
    say(f"read back from {order.scratch}, every file equal to the manifest, and removed again")
    if order.check is not None:
        said = f": {proven.check}" if proven.check else ""
        say(f"check program {order.check.program}: good{said}")
