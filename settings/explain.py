"""Settings in plain English: what is saved, where, when, and what becomes of it."""

from datetime import time, timedelta
from typing import assert_never

from settings.errors import UnmappedPathError, UnusablePathError
from settings.keys import WEEKDAYS
from settings.layout import DatabaseLayout
from settings.model import (
    CompressionRate,
    Content,
    Daily,
    Hourly,
    KeepAll,
    KeepLast,
    Monthly,
    Never,
    Rate,
    RetryAtNextSlot,
    RetryOnce,
    RetryPolicy,
    RetryUpTo,
    Rotation,
    Schedule,
    Settings,
    SettingsPath,
    Unschedulable,
    Weekly,
)
from settings.paths import PathMap, resolve_path

_COMPRESSION = {
    CompressionRate.NONE: "Archives are not compressed.",
    CompressionRate.FAST: "Archives are compressed fast.",
    CompressionRate.COMPACT: "Archives are compressed as small as possible.",
}


def explain_settings(
    settings: Settings, layout: DatabaseLayout, path_map: PathMap | None = None
) -> list[str]:
    """Return sentences that say what these settings do to this database."""
    known = path_map or PathMap()
    return [
        *_explain_content(settings.content, layout, known),
        _explain_destination(settings.destination, layout, known),
        _explain_schedule(settings),
        _explain_retry(settings.retry),
        _explain_rotation(settings.rotation),
        *_explain_archive(settings),
        *_explain_service(settings),
    ]


def describe_schedule(schedule: Schedule) -> str:
    """Say when backups run, as `every 2 weeks on Monday at 08:00`."""
    match schedule:
        case Never():
            return "never automatically"
        case Hourly(every=every, starting_at=at):
            return f"{_each(every, 'hour')} starting at {_clock(at)}"
        case Daily(every=every, at=at):
            return f"{_each(every, 'day')} at {_clock(at)}"
        case Weekly(every=every, days=days):
            named = [f"{WEEKDAYS[day]} at {_clock(at)}" for day, at in days]
            return f"{_each(every, 'week')} on {_listed(named)}"
        case Monthly(every=every, day=day, at=at):
            short = " (the last day of a shorter month)" if day > 28 else ""
            return f"{_each(every, 'month')} on day {day}{short} at {_clock(at)}"
        case Unschedulable(why=why):
            return f"not scheduled, because {why}"
        case _:
            assert_never(schedule)


def _explain_content(content: Content, layout: DatabaseLayout, path_map: PathMap) -> list[str]:
    parts = []
    if content.data:
        parts.append(f"the data file {layout.data_file} with its log and settings")
    if content.structure:
        parts.append(f"the structure {layout.structure or 'in ' + str(layout.package)}")
    if content.user_structure:
        parts.append("the user structure file")
    saved = f"Saves {_listed(parts)}." if parts else "Saves neither structure nor data."
    return [saved, *_explain_attachments(content.attachments, layout, path_map)]


def _explain_attachments(
    attachments: tuple[SettingsPath, ...], layout: DatabaseLayout, path_map: PathMap
) -> list[str]:
    if not attachments:
        return ["Attachments: none."]
    places = [_place(path, layout, path_map) for path in attachments]
    return [f"Attachments: {', '.join(places)}."]


def _explain_destination(path: SettingsPath, layout: DatabaseLayout, path_map: PathMap) -> str:
    return f"Sets go to {_place(path, layout, path_map)}."


def _place(path: SettingsPath, layout: DatabaseLayout, path_map: PathMap) -> str:
    try:
        return str(resolve_path(path, layout.package, path_map))
    except (UnmappedPathError, UnusablePathError) as error:
        return f"{path.raw} (not usable: {error})"


def _explain_schedule(settings: Settings) -> str:
    if isinstance(settings.schedule, Never):
        return "Backups are made only when somebody starts them (Frequency is Never)."
    changed = ", only if the data changed since the last set" if settings.only_if_changed else ""
    return f"Backups run {describe_schedule(settings.schedule)}{changed}."


def _explain_retry(retry: RetryPolicy) -> str:
    match retry:
        case RetryAtNextSlot():
            return "A failed backup is not retried; the next scheduled one follows."
        case RetryOnce(delay=delay):
            return f"A failed backup is retried once, after {_duration(delay)}."
        case RetryUpTo(delay=delay, attempts=attempts):
            tries = (
                "1 attempt" if attempts == 1 else f"{attempts} attempts, {_duration(delay)} apart"
            )
            return f"After {tries} without success automatic backups stop (error 1401)."
        case _:
            assert_never(retry)


def _explain_rotation(rotation: Rotation) -> str:
    match rotation:
        case KeepAll():
            return "All sets are kept; none is ever removed."
        case KeepLast(count=count, erase_before=True):
            return (
                f"The last {_sets(count)} kept; the oldest is removed before a new one is written."
            )
        case KeepLast(count=count):
            return (
                f"The last {_sets(count)} kept; the oldest is removed after a new one is verified."
            )
        case _:
            assert_never(rotation)


def _sets(count: int) -> str:
    return "set is" if count == 1 else f"{count} sets are"


def _explain_archive(settings: Settings) -> list[str]:
    size = settings.segment_bytes
    segments = "in one piece" if size is None else f"in segments of {size // (1024 * 1024)} MB"
    checked = "are" if settings.check_archive else "are not"
    return [
        _COMPRESSION[settings.compression],
        f"Archives are written {segments}.",
        _explain_recovery(settings),
        f"Archives {checked} read back and compared after writing.",
    ]


def _explain_recovery(settings: Settings) -> str:
    if settings.redundancy is not Rate.NONE:
        return (
            f"Recovery data is added (Redundancy {settings.redundancy.value}, Interlacing "
            f"{settings.interlacing.value})."
        )
    if settings.interlacing is not Rate.NONE:
        return "No recovery data is added: Interlacing does nothing without Redundancy."
    return "No recovery data is added."


def _explain_service(settings: Settings) -> list[str]:
    sentences = [
        "The Backup journal says everything about each run."
        if settings.verbose_journal
        else "The Backup journal says only start dates and errors."
    ]
    if settings.transactions.wait:
        limit = _duration(settings.transactions.timeout)
        sentences.append(
            f"A backup waits up to {limit} for a quiet moment (error 1405 after that)."
        )
    return sentences


# --- words ----------------------------------------------------------------------------------------


def _each(every: int, unit: str) -> str:
    return f"every {unit}" if every == 1 else f"every {every} {unit}s"


def _clock(at: time) -> str:
    return at.strftime("%H:%M:%S" if at.second else "%H:%M")


def _duration(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    units = ((seconds // 3600, "hour"), (seconds // 60 % 60, "minute"), (seconds % 60, "second"))
    named = [f"{count} {unit}{'' if count == 1 else 's'}" for count, unit in units if count]
    return _listed(named) or "0 seconds"


def _listed(words: list[str]) -> str:
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)
