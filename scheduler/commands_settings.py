"""Commands about the settings file: check, explain, show, set, schema."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from engine.errors import Exit
from engine.fourd.setsettings import findings_for, for_archives, slow_packing
from engine.papers import plain
from scheduler.context import Context, context_of
from scheduler.options import JSON
from scheduler.screen import say, say_json, time_words, warn
from scheduler.status import coming_slots
from settings.errors import (
    SettingsRefusedError,
    UnmappedPathError,
    UnusablePathError,
    describe_finding,
)
from settings.explain import explain_settings
from settings.layout import DatabaseLayout
from settings.model import Finding, Severity
from settings.paths import resolve_path
from settings.reader import Reading, load_settings
from settings.schema import diagnose, schema_text
from settings.service_model import ArchiveFormat
from settings.writeback import write_setting

_PATH = click.argument("path", type=click.Path(path_type=Path))


@click.group()
def settings() -> None:
    """Check, explain and change a database's Backup.4DSettings."""


def _settings_file(context: Context, path: Path) -> tuple[Path, DatabaseLayout | None]:
    """A file is taken as it is, whatever its name; anything else must be a database."""
    if path.is_file() and path.suffix.lower() in (".xml", ".4dsettings"):
        return path.absolute(), None
    layout = context.layout(path, None)
    return layout.settings_file, layout


@settings.command()
@_PATH
@JSON
@click.pass_context
def check(ctx: click.Context, path: Path, *, as_json: bool) -> int:
    """Read the settings of PATH (a database or a settings file) and print what is wrong, with line numbers.

    Exit code 4 when anything cannot be used as written.
    """
    context = context_of(ctx)
    file, layout = _settings_file(context, path)
    try:
        reading = load_settings(file)
        package = file.parent if layout is None else layout.package
        others = (*_unmapped(reading, package, context), *_of_format(reading, layout, context))
        findings, refused = (*reading.findings, *others), False
    except SettingsRefusedError as error:
        findings, refused = error.findings, True
    usable = not refused and all(one.severity is not Severity.ERROR for one in findings)
    if as_json:
        say_json(
            {
                "file": str(file),
                "refused": refused,
                "findings": [_finding_row(one) for one in findings],
                "schema": [] if refused else [_finding_row(one) for one in _schema_notes(file)],
            }
        )
    else:
        _say_findings(file, findings, refused=refused)
    return Exit.DONE if usable else Exit.REFUSED


def _unmapped(reading: Reading, package: Path, context: Context) -> list[Finding]:
    """A destination of another machine is refused at every backup, so it is refused here."""
    destination = reading.settings.destination
    try:
        resolve_path(destination, package, context.service.path_map)
    except (UnmappedPathError, UnusablePathError) as error:
        element = "Settings/General/DestinationFolder"
        return [Finding(Severity.ERROR, element, None, destination.raw, "", str(error))]
    return []


def _of_format(
    reading: Reading, layout: DatabaseLayout | None, context: Context
) -> Iterator[Finding]:
    """What the format of the archives, which the service file says, changes in the settings."""
    if layout is None:
        return
    archives = context.entry(layout).archives
    yield from findings_for(reading.settings, archives)
    if slow := slow_packing(reading.settings, archives):
        element = "Settings/Advanced/CompressionRate"
        read = reading.settings.compression.value
        yield Finding(Severity.WARNING, element, None, read, "", slow)


def _schema_notes(file: Path) -> list[Finding]:
    return diagnose(file.read_bytes())


def _say_findings(file: Path, findings: tuple[Finding, ...], *, refused: bool) -> None:
    for one in sorted(findings, key=lambda finding: finding.line or 0):
        say(f"{one.severity.value}: {describe_finding(file, one)}")
    if refused:
        say(f"{file} is refused: no backup is made until the errors above are corrected")
    elif any(one.severity is Severity.ERROR for one in findings):
        say(f"{file} can be read, but what the errors above name is not done as written")
    else:
        say(f"{file} is usable" + (", with the notes above" if findings else ""))


def _finding_row(finding: Finding) -> dict[str, Any]:
    return {
        "severity": finding.severity.value,
        "element": finding.element,
        "line": finding.line,
        "read": finding.read,
        "used": finding.used,
        "why": finding.why,
    }


@settings.command()
@_PATH
@JSON
@click.pass_context
def explain(ctx: click.Context, path: Path, *, as_json: bool) -> int:
    """Say in plain sentences what will be saved, where, when, how often retried, and how many are kept."""
    context = context_of(ctx)
    layout = context.layout(path, None)
    reading = load_settings(layout.settings_file)
    archives = context.entry(layout).archives
    used, _ = for_archives(reading, archives)
    sentences = explain_settings(used.settings, layout, context.service.path_map)
    if archives is ArchiveFormat.FOURD:
        sentences.append(
            "The archives are those of 4D, .4BK and .4BL (ArchiveFormat in the service file)."
        )
    slots = coming_slots(context, reading.settings, layout, 5)
    if as_json:
        say_json(
            {
                "file": str(layout.settings_file),
                "sentences": sentences,
                "next": [{"at": slot.at.isoformat(), "reason": slot.reason} for slot in slots],
                "zone": context.zone.key,
            }
        )
        return Exit.DONE
    say(f"{layout.settings_file} says:")
    for sentence in sentences:
        say(f"  {sentence}")
    _say_problems(
        replace(reading, findings=(*reading.findings, *_of_format(reading, layout, context)))
    )
    if slots:
        say(f"The next backups ({context.zone.key}):")
        for slot in slots:
            why = f"  ({slot.reason})" if slot.reason else ""
            say(f"  {time_words(slot.at, context.zone)}{why}")
    return Exit.DONE


def _say_problems(reading: Reading) -> None:
    for one in reading.findings:
        if one.severity is not Severity.NOTE:
            warn(f"{one.severity.value}: {describe_finding(reading.file, one)}")


@settings.command()
@_PATH
@JSON
@click.pass_context
def show(ctx: click.Context, path: Path, *, as_json: bool) -> int:
    """Show every value in force and which settings file it comes from, with the places looked at."""
    context = context_of(ctx)
    layout = context.layout(path, None)
    reading = load_settings(layout.settings_file)
    values = plain(reading.settings)
    if as_json:
        say_json(
            {
                "file": str(layout.settings_file),
                "considered": [[str(place), why] for place, why in layout.considered],
                "package": str(layout.package),
                "structure": None if layout.structure is None else str(layout.structure),
                "data_file": str(layout.data_file),
                "log": str(layout.log),
                "notes": list(layout.notes),
                "values": values,
            }
        )
        return Exit.DONE
    say(f"package    {layout.package}")
    say(f"structure  {layout.structure or 'none found'}")
    say(f"data file  {layout.data_file}{'' if layout.data_file.exists() else '  (missing)'}")
    say(f"log        {layout.log}{'' if layout.log.exists() else '  (none)'}")
    say("settings files looked at:")
    for place, why in layout.considered:
        say(f"  {place}: {why}")
    for note in layout.notes:
        say(f"note: {note}")
    say("values in force:")
    for key, value in _flat(values):
        say(f"  {key:<32}{value}")
    _say_problems(reading)
    return Exit.DONE


def _flat(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Nested values as lines: `rotation.count`; the form of an alternative stands at its own name."""
    if isinstance(value, dict):
        rest = {key: inner for key, inner in value.items() if key != "form"}
        if name and "form" in value:
            yield name, value["form"]
        for key, inner in rest.items():
            yield from _flat(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for number, inner in enumerate(value, start=1):
            yield from _flat(inner, f"{name}.{number}")
    else:
        yield name, "none" if value is None else value


@settings.command("set")
@_PATH
@click.argument("key")
@click.argument("value")
@JSON
@click.pass_context
def set_value(ctx: click.Context, path: Path, key: str, value: str, *, as_json: bool) -> int:
    """Change one KEY of the settings of PATH to VALUE; every other byte of the file stays.

    KEY is a path like Scheduler/Daily/Hour or its unambiguous end, like Frequency.
    """
    file, _ = _settings_file(context_of(ctx), path)
    old, new = write_setting(file, key, value)
    if as_json:
        say_json({"file": str(file), "key": key, "old": old, "new": new})
    else:
        say(f"{file}: {key} was {old or 'not there'}, is now {new}")
    return Exit.DONE


@settings.command()
def schema() -> int:
    """Print a RelaxNG schema of the file, for editors; backups never depend on it."""
    say(schema_text())
    return Exit.DONE
