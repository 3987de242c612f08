"""The command `export`: a set as archives that 4D opens."""

from pathlib import Path

import click

from engine.errors import Exit
from engine.fourd.exporting import Exported, export_set
from engine.inplaceplan import resolved
from engine.manifest import MANIFEST, SetFacts
from engine.setsource import open_set
from scheduler.commands_4bk import way_of
from scheduler.commands_sets import stop_on_signals
from scheduler.context import choose_set, context_of
from scheduler.options import DATA_FILE, JSON, SET, PathAsTyped
from scheduler.screen import count_words, progress_shown, say, say_json, size_words, warn


@click.command("export")
@click.argument("target", metavar="DATABASE|SET", type=PathAsTyped())
@click.option(
    "--4bk",
    "folder",
    metavar="FOLDER",
    type=PathAsTyped(),
    required=True,
    help="Write them here; the folder is made, and nothing in it is replaced.",
)
@SET
@DATA_FILE
@JSON
@click.pass_context
def export(
    ctx: click.Context,
    target: Path,
    folder: Path,
    number: int | None,
    data_file: Path | None,
    *,
    as_json: bool,
) -> int:
    """Write a set as 4D writes its backups: a .4BK, and a .4BL for its log, that 4D's own restore opens.

    The newest set of DATABASE, the one with --set, or the folder of a SET. What is written is read back and
    compared. The set stays as it is.
    """
    context = context_of(ctx)
    if (target / "manifest.json").exists():
        chosen = target.absolute()
    else:
        layout = context.layout(target, data_file)
        chosen = choose_set(context.inventory(layout), number).folder
    source = open_set(chosen)
    place = _place(folder, source.manifest.facts)
    with progress_shown(context.clock, quiet=as_json) as report:
        way = way_of(stop_on_signals(), report, "reading back")
        exported = export_set(source, place, way)
    if as_json:
        say_json(_row(chosen, exported))
    else:
        _say(exported)
    return Exit.PARTIAL if exported.left_out else Exit.DONE


def _place(folder: Path, facts: SetFacts) -> Path:
    """Where they go. Never into a set, the live application, or the folder one stands in, as a restore."""
    place = resolved(folder.absolute())
    if place == resolved(Path.cwd()):
        raise click.UsageError("--4bk names the current folder; name another one")
    if any((parent / MANIFEST).exists() for parent in (place, *place.parents)):
        raise click.UsageError(f"{place} lies in a set; rotation would remove it with the set")
    for live in (Path(facts.package), Path(facts.data_file).parent):
        if place.is_relative_to(resolved(live)):
            raise click.UsageError(
                f"{place} lies in the live application; name a folder outside it"
            )
    return place


def _row(chosen: Path, exported: Exported) -> dict[str, object]:
    return {
        "set": str(chosen),
        "files": [str(file) for file in exported.files],
        "members": exported.members,
        "content_bytes": exported.content_bytes,
        "left_out": list(exported.left_out),
        "notes": list(exported.notes),
    }


def _say(exported: Exported) -> None:
    for file in exported.files:
        say(f"{file}: {size_words(file.stat().st_size)}, read back and equal to the set")
    say(f"{count_words(exported.members, 'file')}, {size_words(exported.content_bytes)}")
    for note in exported.notes:
        say(f"note: {note}")
    for text in exported.left_out:
        warn(f"left out: {text}")
