"""Commands about sets: list, show, verify."""

import os
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from engine.errors import Exit
from engine.history import utc_text
from engine.manifest import Manifest, iterate_members, read_manifest
from engine.member import Member
from engine.operations import verify_recorded
from engine.sets import Inventory, StoredSet
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from engine.verify import Verdict
from scheduler.bare_sets import bare_sets
from scheduler.commands_browse import name_words, say_tree
from scheduler.context import Context, choose_set, choose_set_until, context_of
from scheduler.options import DATA_FILE, JSON, SET, PathAsTyped
from scheduler.screen import (
    progress_shown,
    say,
    say_json,
    say_lines,
    size_words,
    table,
    time_words,
    warn,
)
from settings.layout import DatabaseLayout


def stop_on_signals() -> StopRequest:
    """Ctrl-C and SIGTERM ask the operation to stop and to undo what is half-made."""
    stop = StopRequest()
    signal.signal(signal.SIGINT, lambda *_: stop.ask())
    signal.signal(signal.SIGTERM, lambda *_: stop.ask("stopped by a signal"))
    signal.signal(signal.SIGHUP, lambda *_: stop.ask("stopped because its terminal was closed"))
    return stop


@click.command("list")
@click.argument("database", metavar="DATABASE|FOLDER", type=PathAsTyped())
@DATA_FILE
@JSON
@click.pass_context
def list_sets(ctx: click.Context, database: Path, data_file: Path | None, *, as_json: bool) -> int:
    """List the sets of DATABASE, newest last; or all that lie in a FOLDER of sets, without their application."""
    context = context_of(ctx)
    found = bare_sets(database.absolute(), data_file)
    inventories = [one.inventory for one in found]
    if not found:
        inventories = [context.inventory(context.layout(database, data_file))]
    stored = [one for inventory in inventories for one in inventory.sets]
    if as_json:
        say_json([set_row(one) for one in stored])
    for index, inventory in enumerate(() if as_json else inventories):
        if found:
            say(f"sets of {found[index].data_file or 'a data file that is not known'}")
        _say_inventory(inventory, context)
    is_lost = any(one.unreadable for one in inventories) and not stored
    return Exit.DAMAGED if is_lost else Exit.DONE


def _say_inventory(inventory: Inventory, context: Context) -> None:
    rows: list[tuple[str, ...]] = [
        ("set", "started", "kind", "files", "content", "archive", "folder")
    ]
    rows += [
        (
            str(stored.number),
            time_words(stored.facts.started, context.zone),
            "complete" if stored.facts.complete else "partial",
            str(stored.facts.members),
            size_words(stored.facts.content_bytes),
            size_words(stored.facts.archive_bytes),
            str(stored.folder),
        )
        for stored in inventory.sets
    ]
    none = "there is no usable set" if inventory.unreadable else "there is no set yet"
    for line in table(rows) if inventory.sets else [none]:
        say(line)
    for name, why in inventory.unreadable:
        warn(f"{name} is no usable set: {why}")


def set_row(stored: StoredSet) -> dict[str, Any]:
    """What `--json` says of a set."""
    facts = stored.facts
    return {
        "number": facts.number,
        "folder": str(stored.folder),
        "complete": facts.complete,
        "checked": facts.checked,
        "started": utc_text(facts.started),
        "ended": utc_text(facts.ended),
        "scheduled": None if facts.scheduled is None else utc_text(facts.scheduled),
        "members": facts.members,
        "content_bytes": facts.content_bytes,
        "archive_bytes": facts.archive_bytes,
        "missing": list(facts.missing),
        "skipped": [list(entry) for entry in facts.skipped],
        "left_out": [list(entry) for entry in facts.left_out],
        "files": [name for _, name in facts.files],
    }


def find_set(
    context: Context,
    target: Path,
    number: int | None,
    data_file: Path | None,
    until: datetime | None = None,
) -> tuple[Path, DatabaseLayout | None]:
    """A set's folder: named itself, or the one with the number, or the newest until then, in a database."""
    if (target / "manifest.json").is_file():
        return target.absolute(), None
    layout = context.layout(target, data_file)
    inventory = context.inventory(layout)
    if until is not None:
        return choose_set_until(inventory, until, context.zone).folder, layout
    return choose_set(inventory, number).folder, layout


@click.command()
@click.argument("target", metavar="DATABASE|SET", type=click.Path(path_type=Path))
@SET
@DATA_FILE
@click.option("--tree", "as_tree", is_flag=True, help="As a tree, folders with their sums.")
@JSON
@click.pass_context
def show(
    ctx: click.Context,
    target: Path,
    number: int | None,
    data_file: Path | None,
    *,
    as_tree: bool,
    as_json: bool,
) -> int:
    """Show what is in a set: of DATABASE the newest or the one with --set, or the folder of a SET."""
    if as_tree and as_json:
        raise click.UsageError("--tree is for people; --json lists the same members")
    context = context_of(ctx)
    folder, _ = find_set(context, target, number, data_file)
    manifest = read_manifest(folder)
    if as_json:
        members = [
            {
                "path": os.fsdecode(member.path).encode("utf-8", "backslashreplace").decode(),
                "type": member.kind.value,
                "role": member.role.value,
                "size": member.size,
                "blake3": member.digest,
            }
            for member in iterate_members(folder)
        ]
        say_json({**set_row(StoredSet(folder, manifest.facts)), "contents": members})
        return Exit.DONE
    _say_set(manifest, context, as_tree=as_tree)
    return Exit.DONE


def _say_set(manifest: Manifest, context: Context, *, as_tree: bool) -> None:
    facts = manifest.facts
    kind = "complete" if facts.complete else "partial"
    say(f"set {facts.number} of {facts.data_file}, {kind}, written by {facts.tool}")
    say(
        f"started {time_words(facts.started, context.zone)}, ended {time_words(facts.ended, context.zone)}"
    )
    for archive in manifest.archives:
        for file in archive.files:
            say(
                f"{archive.role} archive {file.name}: {size_words(file.size)}, SHA-256 {file.sha256}"
            )
    for path in facts.missing:
        say(f"not found when it was made: {path}")
    for path, why in (*facts.skipped, *facts.left_out):
        say(f"not saved: {path}: {why}")
    say()
    if as_tree:
        say_tree(iterate_members(manifest.folder))
        return
    say_lines(_member_words(member) for member in iterate_members(manifest.folder))


def _member_words(member: Member) -> str:
    mark = {"folder": "/", "symlink": " ->", "hardlink": " =", "file": ""}[member.kind.value]
    link = "" if member.link is None else f" {os.fsdecode(member.link)!a}"
    return f"{member.size:>16,}  {name_words(member.path)}{mark}{link}"


@click.command()
@click.argument("target", metavar="DATABASE|SET|FOLDER", type=click.Path(path_type=Path))
@SET
@DATA_FILE
@JSON
@click.pass_context
def verify(
    ctx: click.Context, target: Path, number: int | None, data_file: Path | None, *, as_json: bool
) -> int:
    """Read sets back from the disk and compare them with what was written.

    All sets of DATABASE, the one with --set, the folder of a SET, or all sets in a FOLDER.
    """
    context = context_of(ctx)
    layout: DatabaseLayout | None = None
    if (target / "manifest.json").exists():
        folders = [target.absolute()]
    elif found := bare_sets(target.absolute(), data_file):
        if number is not None and len(found) > 1:
            raise click.UsageError(f"--set needs --data-file: {target} holds sets of several")
        folders = [
            folder
            for one in found
            for folder in _folders_in(one.inventory, target.absolute(), number)
        ]
    else:
        layout = context.layout(target, data_file)
        inventory = context.inventory(layout)
        folders = _folders_in(inventory, context.destination(layout), number)
        if not folders:
            choose_set(inventory, None)  # says that there is none
    stop = stop_on_signals()
    with progress_shown(context.clock, quiet=as_json) as report:
        around = Surroundings(context.clock, stop, report)
        verdicts = verify_recorded(folders, layout, context.zone, around)
    if as_json:
        say_json([_verdict_row(verdict) for verdict in verdicts])
    else:
        _say_verdicts(verdicts)
    return Exit.DONE if all(verdict.good for verdict in verdicts) else Exit.DAMAGED


def _folders_in(inventory: Inventory, destination: Path, number: int | None) -> list[Path]:
    """Of the set with the number, else of all, also of those that cannot be read."""
    if number is not None:
        return [choose_set(inventory, number).folder]
    unreadable = [destination / name for name, _ in inventory.unreadable]
    return [*(one.folder for one in inventory.sets), *unreadable]


def _verdict_row(verdict: Verdict) -> dict[str, Any]:
    return {
        "folder": str(verdict.folder),
        "number": verdict.number,
        "good": verdict.good,
        "members": verdict.members,
        "content_bytes": verdict.content_bytes,
        "code": int(verdict.code),
        "damage": list(verdict.damage),
        "recovery": verdict.recovery,
    }


def _say_verdicts(verdicts: list[Verdict]) -> None:
    for verdict in verdicts:
        if verdict.good:
            say(
                f"{verdict.folder.name}: good; {verdict.members} files and folders, "
                f"{size_words(verdict.content_bytes)}, equal to what was saved"
            )
            if verdict.recovery:
                say(f"  recovery data: {verdict.recovery}")
            continue
        say(f"{verdict.folder.name}: DAMAGED (error {int(verdict.code)})")
        for text in verdict.damage:
            say(f"  {text}")
        say("  what to do: keep the folder, use another set, and check the disk it lies on")
