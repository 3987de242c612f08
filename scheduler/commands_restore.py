"""The command `restore`: a set, or a part of it, into a new folder; what would be done is shown first when asked."""

from pathlib import Path

import click

from engine.errors import Exit
from engine.member import Role
from engine.operations import restore_recorded
from engine.restore import RestorePlan, default_target, plan_restore
from engine.selection import Selection
from engine.setwriter import Surroundings
from scheduler.commands_sets import find_set, stop_on_signals
from scheduler.context import context_of
from scheduler.options import DATA_FILE, JSON, SET, read_moment
from scheduler.screen import progress_shown, say, say_json, size_words, warn
from settings.layout import DatabaseLayout

_PARTS = {
    "data": frozenset({Role.DATA, Role.LOG}),
    "structure": frozenset({Role.STRUCTURE}),
    "attachments": frozenset({Role.ATTACHMENT}),
}


@click.command()
@click.argument("target", metavar="DATABASE|SET", type=click.Path(path_type=Path))
@SET
@click.option(
    "--as-of", metavar="TIME", help="The newest complete set finished by then, as 2026-11-21 18:00."
)
@DATA_FILE
@click.option(
    "--to",
    "to",
    type=click.Path(path_type=Path),
    help="The folder to make; by default beside the set, named like it with ' restored'.",
)
@click.option(
    "--only",
    "patterns",
    multiple=True,
    metavar="PATH",
    help="Only this path of the set, as `show` prints it; a folder with all below; * and ? work. May be repeated.",
)
@click.option("--part", type=click.Choice(sorted(_PARTS)), help="Only this part of the set.")
@click.option("--dry-run", is_flag=True, help="Say what would be written where, and write nothing.")
@JSON
@click.pass_context
def restore(  # noqa: PLR0913 - options of a command
    ctx: click.Context,
    target: Path,
    *,
    number: int | None,
    as_of: str | None,
    data_file: Path | None,
    to: Path | None,
    patterns: tuple[str, ...],
    part: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Restore a set into a new folder; the live application is never touched.

    Of DATABASE the newest set, the one with --set or --as-of, or the folder of a SET. The new folder appears
    only when every file in it was compared with the digests of the set. With --only and --part, no more of the
    archive is read than what holds the chosen files.
    """
    context = context_of(ctx)
    if number is not None and as_of is not None:
        raise click.UsageError("--set and --as-of both choose a set; give one of them")
    until = None if as_of is None else read_moment(as_of, context.zone)
    folder, layout = find_set(context, target, number, data_file, until)
    place = _restore_place(folder, layout, to)
    selection = Selection(patterns, None if part is None else _PARTS[part])
    if dry_run:
        return _say_plan(plan_restore(folder, place, selection), folder, as_json=as_json)
    with progress_shown(context.clock, quiet=as_json) as report:
        around = Surroundings(context.clock, stop_on_signals(), report)
        restored = restore_recorded(folder, place, layout, context.zone, around, selection)
    if as_json:
        say_json(
            {
                "number": restored.number,
                "set": str(folder),
                "target": str(restored.target),
                "files": restored.files,
                "content_bytes": restored.content_bytes,
                "compared": True,
                "whole": selection.is_everything,
            }
        )
        return Exit.DONE
    what = f"set {restored.number}" if selection.is_everything else f"part of set {restored.number}"
    say(
        f"{what} restored to {restored.target}: {restored.files} files, "
        f"{size_words(restored.content_bytes)}, every file compared with its digest"
    )
    if selection.is_everything:
        say(
            "to use it, stop 4D, move the damaged application aside and put this folder in its place"
        )
    return Exit.DONE


def _restore_place(folder: Path, layout: DatabaseLayout | None, to: Path | None) -> Path:
    """Where a restore goes. Never into a set, the live application, or the folder one stands in."""
    if to is None:
        return default_target(folder)
    place = to.absolute()
    if place == Path.cwd():
        raise click.UsageError("--to names the current folder; name a new one")
    if any((parent / "manifest.json").exists() for parent in (place, *place.parents)):
        raise click.UsageError(f"{place} lies in a set; rotation would remove it with the set")
    if layout is not None and place.is_relative_to(layout.package):
        raise click.UsageError(f"{place} lies in the live application; name a folder outside it")
    return place


def _say_plan(plan: RestorePlan, folder: Path, *, as_json: bool) -> int:
    if as_json:
        say_json(
            {
                "number": plan.number,
                "set": str(folder),
                "target": str(plan.target),
                "files": plan.files,
                "content_bytes": plan.content_bytes,
                "free_bytes": plan.free,
                "obstacle": plan.obstacle,
            }
        )
    else:
        say(f"from    set {plan.number}, {folder}")
        say(f"to      {plan.target} (new; the live application is not touched)")
        say(
            f"writes  {plan.files} files, {size_words(plan.content_bytes)}; {size_words(plan.free)} free there"
        )
        if plan.obstacle is not None:
            warn(f"it would be refused: {plan.obstacle}")
        say("nothing was written")
    return Exit.DONE if plan.obstacle is None else Exit.FAILED
