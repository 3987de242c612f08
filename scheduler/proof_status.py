"""What `status` says of drills and scrubs: from the service's memory and from the history, which knows those by hand."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from engine.history import event_rows, load_history, utc_text
from scheduler.due import is_overdue
from scheduler.proof import (
    LastDrill,
    Proof,
    Verified,
    drills_told,
    newest_drill,
    newest_verdicts,
    verifications_told,
)
from scheduler.screen import duration_words, time_words
from settings.layout import DatabaseLayout
from settings.service_model import Drill, Scrub, ServedDatabase


@dataclass(frozen=True, slots=True)
class ProofStatus:
    """`drill` and `scrub` are what is asked for, None when nothing is; `last` the newest drill, `proven` the newest
    that succeeded, None without one; `damaged` the sets that were damaged when they were last read.
    """

    drill: Drill | None = None
    scrub: Scrub | None = None
    last: LastDrill | None = None
    proven: LastDrill | None = None
    damaged: tuple[Verified, ...] = ()
    remembered: Proof = field(default_factory=Proof)


def proof_status(
    proof: Proof, entry: ServedDatabase, layout: DatabaseLayout, destination: Path | None
) -> ProofStatus:
    """Gather it; what the history cannot tell is left out."""
    drills, verified = _told(layout, destination)
    good = [drill for drill in drills if drill.is_good]
    newest = newest_verdicts([*proof.verified, *verified])
    damaged = [one for one in newest.values() if one.code and _is_there(destination, one.name)]
    return ProofStatus(
        entry.drill,
        entry.scrub,
        newest_drill(proof.drill, *drills),
        newest_drill(proof.proven, *good),
        tuple(sorted(damaged, key=lambda one: one.name)),
        proof,
    )


def _told(
    layout: DatabaseLayout, destination: Path | None
) -> tuple[list[LastDrill], list[Verified]]:
    if destination is None:
        return [], []
    try:
        document = load_history(destination).document
        return (
            drills_told(event_rows(document, layout.key, "drill")),
            verifications_told(event_rows(document, layout.key, "verification")),
        )
    except (OSError, ValueError, TypeError):
        return [], []


def _is_there(destination: Path | None, name: str) -> bool:
    """What cannot be looked at is not called gone."""
    try:
        return destination is None or (destination / name).exists()
    except OSError:
        return True


def proof_trouble(status: ProofStatus, now: datetime, zone: tzinfo) -> list[str]:
    """What a person must see to."""
    trouble = [
        f"{one.name} was damaged when it was read on {time_words(one.at, zone)}: {one.text}"
        for one in status.damaged
    ]
    if status.last is not None and not status.last.is_good:
        when = time_words(status.last.ended, zone)
        trouble.append(f"the restore drill of {when} failed: {status.last.text}")
    drill, asked = status.drill, status.remembered.asked
    if drill is not None and asked is not None and is_overdue(drill, asked, status.last, now):
        since = asked if status.last is None else status.last.ended
        trouble.append(
            f"the restore drill is overdue: asked for every {duration_words(drill.every)}, none was made for "
            f"{duration_words(now - since)}"
        )
    return trouble


def proof_lines(status: ProofStatus, zone: tzinfo) -> list[tuple[str, str]]:
    """The lines of `status`, each with its label."""
    proven = "never"
    if status.proven is not None:
        when = time_words(status.proven.ended, zone)
        proven = f"{when}, set {status.proven.number}, took {took_words(status.proven.seconds)}"
    lines = [("drill", f"last proven restore: {proven}")]
    counts = status.remembered
    if status.scrub is not None or counts.scrubbed:
        often = "" if status.scrub is None else f", each after {duration_words(status.scrub.after)}"
        found = f"{counts.damaged} damaged, {counts.repaired} repaired"
        lines.append(("scrub", f"{counts.scrubbed} set(s) read again{often}; {found}"))
    return lines


def took_words(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 5 s`."""
    return f"{seconds:.1f} s" if seconds < 10 else duration_words(timedelta(seconds=seconds))


def proof_row(status: ProofStatus) -> dict[str, Any]:
    """What `--json` says."""
    counts, drill, scrub = status.remembered, status.drill, status.scrub
    return {
        "drill": {
            "every_days": None if drill is None else drill.every.days,
            "last": _drill_row(status.last),
            "proven": _drill_row(status.proven),
        },
        "scrub": {
            "after_days": None if scrub is None else scrub.after.days,
            "oldest_verification": None if counts.oldest is None else utc_text(counts.oldest),
            "sets_read": counts.scrubbed,
            "damaged": counts.damaged,
            "repaired": counts.repaired,
            "damaged_sets": [one.name for one in status.damaged],
        },
    }


def _drill_row(drill: LastDrill | None) -> dict[str, Any] | None:
    if drill is None:
        return None
    return {
        "ended": utc_text(drill.ended),
        "set": drill.number or None,
        "seconds": round(drill.seconds, 3),
        "code": drill.code,
        "text": drill.text,
    }
