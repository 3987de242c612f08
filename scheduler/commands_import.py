"""The command `import`: backups that 4D itself has made become sets."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from engine.errors import Exit
from engine.fourd.importing import Imported, Into, import_backup
from engine.fourd.origin import find_origin
from engine.history import utc_text
from scheduler.commands_4bk import way_of
from scheduler.commands_sets import stop_on_signals
from scheduler.context import context_of
from scheduler.options import DATA_FILE, DATABASE, JSON, read_moment
from scheduler.screen import (
    count_words,
    progress_shown,
    say,
    say_json,
    size_words,
    time_words,
    warn,
)
from settings.reader import load_settings


@click.command("import")
@DATABASE
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@DATA_FILE
@click.option(
    "--date",
    metavar="TIME",
    help="When 4D made it, as 2024-08-12 22:00, where no history tells; for one FILE.",
)
@JSON
@click.pass_context
def import_sets(
    ctx: click.Context,
    database: Path,
    files: tuple[Path, ...],
    data_file: Path | None,
    *,
    date: str | None,
    as_json: bool,
) -> int:
    """Make sets of DATABASE from backups that 4D made: each FILE a .4BK, with the .4BL of its log beside it.

    Every byte is compared first; a damaged archive is not imported. The set has the archive's number and the date of
    the backup. The archives stay as they are.
    """
    context, stop = context_of(ctx), stop_on_signals()
    if date is not None and len(files) > 1:
        raise click.UsageError("--date is that of one FILE; name each with its own")
    told = None if date is None else read_moment(date, context.zone)
    layout = context.layout(database, data_file)
    into = Into(
        layout, load_settings(layout.settings_file), context.destination(layout), context.zone
    )
    rows: list[dict[str, Any]] = []
    with progress_shown(context.clock, quiet=as_json) as report:
        for file in files:
            way = way_of(stop, report, "extracting")
            origin = find_origin(file.absolute())
            if told is not None:
                origin = replace(origin, started=told, ended=told, source="what was typed")
            imported = import_backup(origin, into, way, context.clock)
            rows.append(_row(imported))
            if not as_json:
                _say(imported, into)
    if as_json:
        say_json(rows)
    return Exit.DONE


def _say(imported: Imported, into: Into) -> None:
    facts, origin = imported.facts, imported.origin
    when = time_words(origin.ended, into.zone)
    say(f"set {facts.number} of {when} is complete: {imported.folder}")
    log = f" and {origin.log.name}" if origin.log else ", without a log"
    say(f"from {origin.file}{log}; dated by {origin.source}")
    content, archive = size_words(facts.content_bytes), size_words(facts.archive_bytes)
    say(f"{count_words(facts.members, 'member')}, {content} in {archive}, read back from the disk")
    for note in imported.notes:
        warn(note)


def _row(imported: Imported) -> dict[str, Any]:
    origin = imported.origin
    return {
        "file": str(origin.file),
        "log": None if origin.log is None else str(origin.log),
        "set": str(imported.folder),
        "number": imported.facts.number,
        "started": utc_text(origin.started),
        "ended": utc_text(origin.ended),
        "date_known_by": origin.source,
        "members": imported.facts.members,
        "content_bytes": imported.facts.content_bytes,
        "notes": list(imported.notes),
    }
