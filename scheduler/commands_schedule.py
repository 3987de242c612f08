"""When the next backups are due and why then; which slots were missed, as far as that is still known."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click

from engine.errors import Exit
from scheduler.answers import AnswerGroup, Fate
from scheduler.context import Context, context_of
from scheduler.decide import ClockDamage, Halted, Wait, decide
from scheduler.evidence import Traces, gather_evidence, known_from_sets, look_for_traces
from scheduler.known import Known, local_words
from scheduler.lookback import Past, look_back
from scheduler.moments import FORMS, Moment, local_text, parse_moment, parse_zone
from scheduler.reasons import Phase, describe_phase, explain_slot
from scheduler.screen import say, say_json
from scheduler.service_state import ServiceState, service_state
from scheduler.slots import Slot, slots_after
from scheduler.state import State
from scheduler.status import known_now
from settings.explain import describe_schedule
from settings.layout import DatabaseLayout
from settings.model import Never, Settings, Unschedulable
from settings.reader import load_settings

T = TypeVar("T")
_TICK = timedelta(microseconds=1)
_MOST_SLOTS = 10_000
_MOST_LINES = 50


@dataclass(frozen=True, slots=True)
class Asked:
    """The words of the command line."""

    database: Path
    data_file: Path | None
    count: int | None
    explain: bool
    seen_from: str | None
    zone: str | None
    missed_since: str | None
    as_json: bool


@dataclass(frozen=True, slots=True)
class View:
    """One database's schedule, as the service would serve it.

    `state` is None when the service remembers nothing; `notes` are sentences that the answer needs.
    """

    context: Context
    layout: DatabaseLayout
    settings: Settings
    known: Known
    state: State | None
    phase: Phase
    traces: Traces
    now: datetime
    zone_words: str
    notes: tuple[str, ...]


@click.command()
@click.argument("database", type=click.Path(path_type=Path))
@click.option(
    "--data-file", type=click.Path(path_type=Path), help="The data file, when there are several."
)
@click.option(
    "--next",
    "count",
    type=click.IntRange(1, _MOST_SLOTS),
    help="How many slots to show; 10 without it.",
)
@click.option("--explain", is_flag=True, help="Say of each slot which rule asks for it.")
@click.option("--from", "seen_from", metavar="TIME", help=f"As seen from then: {FORMS}.")
@click.option("--zone", metavar="ZONE", help="In this time zone, in place of the service's.")
@click.option(
    "--missed-since", metavar="TIME", help="The slots since then for which no backup was made."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def schedule(ctx: click.Context, /, **_: object) -> int:
    """Say when the next backups of DATABASE are due and why then, or which were missed.

    A TIME without an offset is local time in the zone that counts; a time that does not exist or exists
    twice there is taken as a slot would be, and said.
    """
    asked = Asked(**ctx.params)
    if asked.missed_since is not None and (asked.zone or asked.seen_from or asked.count):
        raise click.UsageError(
            "--missed-since looks back, up to now and in the service's zone: leave --next, --from and --zone away"
        )
    view = _view(context_of(ctx), asked)
    if asked.missed_since is not None:
        return _tell_missed(view, asked, asked.missed_since)
    return _tell_coming(view, asked)


# --- what there is to know ------------------------------------------------------------------------


def _view(context: Context, asked: Asked) -> View:
    zone, zone_words = _zone(context, asked.zone)
    layout = context.layout(asked.database, asked.data_file)
    context = context.at_home_of(layout.package)
    settings = load_settings(layout.settings_file).settings
    trouble: list[str] = []
    known, state = known_now(context, settings, layout, trouble)
    traces = look_for_traces(context, settings, layout)
    now = context.clock.now()
    known, phase = _phase(known, state, traces)
    can_tell = state is not None or not trouble
    notes = (*trouble, *_notes(context, known, now, can_tell=can_tell))
    # what is owed and what is paused is so in the service's zone, whatever zone the slots are asked for in
    known = replace(known, zone=zone)
    return View(context, layout, settings, known, state, phase, traces, now, zone_words, notes)


def _zone(context: Context, name: str | None) -> tuple[ZoneInfo, str]:
    if name is not None:
        zone = _parsed("--zone", lambda: parse_zone(name))
        return zone, f"asked for with --zone; the service's is {context.zone.key}"
    named = context.service.zone is not None
    return context.zone, "from the service file" if named else "this machine's"


def _parsed(option: str, parse: Callable[[], T]) -> T:
    try:
        return parse()
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def _phase(known: Known, state: State | None, traces: Traces) -> tuple[Known, Phase]:
    """From which day every-N counts: what the service would count from."""
    if state is not None and state.known.anchor == known.anchor:
        return known, Phase(known.anchor, "a day with a backup due, as the service remembers")
    if state is not None:
        words = "the first that fits from now on, as the service remembers another schedule"
        return known, Phase(known.anchor, words)
    if (rebuilt := known_from_sets(known, traces)) is not None:
        words = "the slot of the newest set, as the service remembers nothing"
        return rebuilt, Phase(rebuilt.anchor, words)
    words = "the first that fits from now on, as no backup was served yet"
    return known, Phase(known.anchor, words)


def _notes(context: Context, known: Known, now: datetime, *, can_tell: bool) -> Iterator[str]:
    """What keeps slots from being served, or comes before them."""
    if isinstance(known.schedule, Never | Unschedulable):
        return
    service, _ = service_state(context.environment)
    if service is ServiceState.STOPPED:
        yield "the service is not running: no automatic backup will be made"
    if service is ServiceState.HIDDEN:
        yield "this user may not look into the service's state: what it remembers is not counted in"
    elif can_tell:
        yield from _before_slots(known, service, now)


def _before_slots(known: Known, service: ServiceState, now: datetime) -> Iterator[str]:
    decision = decide(known, now)
    if not isinstance(decision, Wait | Halted):
        when = "as soon as it runs" if service is ServiceState.STOPPED else "now"
        yield f"{when}: {decision.reason}"
    elif known.trouble or known.running or known.paused_until:
        yield decision.reason


# --- what comes -----------------------------------------------------------------------------------


def _tell_coming(view: View, asked: Asked) -> int:
    zone, text = view.known.zone, asked.seen_from
    moment = None if text is None else _parsed("--from", lambda: parse_moment(text, zone))
    count = asked.count or 10
    slots = list(islice(_slots_from(view, moment), count))
    notes = view.notes if moment is None or moment.note is None else (*view.notes, moment.note)
    if asked.as_json:
        row = _head_row(view, notes)
        seen_from = None if moment is None else _utc(moment.at)
        say_json({**row, "from": seen_from, "slots": [_slot_row(view, slot) for slot in slots]})
        return _exit_code(view)
    _say_head(view, notes)
    if slots:
        since = "" if moment is None else f" from {local_text(moment.at, zone)} on"
        say(f"the next {len(slots)}{since}:")
    for slot in slots:
        why = explain_slot(slot, view.known.schedule, view.phase) if asked.explain else slot.reason
        say(f"  {local_text(slot.at, zone)}  {_with_pause(view, slot, why)}".rstrip())
    if len(slots) < count and not isinstance(view.known.schedule, Never | Unschedulable):
        say("  there are no more before the calendar ends, in the year 9999")
    return _exit_code(view)


def _slots_from(view: View, moment: Moment | None) -> Iterator[Slot]:
    """From a moment on, a slot at that very moment included; else what is still to be served."""
    known = view.known
    after = max(known.answered_until, view.now)
    if isinstance(decide(known, view.now), ClockDamage):
        after = view.now
    if moment is not None:
        after = moment.at - _TICK
    return slots_after(known.schedule, after, known.anchor, known.zone)


def _with_pause(view: View, slot: Slot, why: str | None) -> str:
    until = view.known.paused_until
    if until is None or not view.now <= slot.at <= until:
        return why or ""
    paused = f"not served: paused until {local_words(until, view.known.zone)}"
    return f"{paused}; {why}" if why else paused


def _exit_code(view: View) -> Exit:
    """A schedule that cannot be served needs a person; none at all is somebody's wish."""
    return Exit.FAILED if isinstance(view.known.schedule, Unschedulable) else Exit.DONE


# --- what was missed ------------------------------------------------------------------------------


def _tell_missed(view: View, asked: Asked, text: str) -> int:
    since = _parsed("--missed-since", lambda: parse_moment(text, view.known.zone))
    if since.at > view.now:
        raise click.BadParameter(
            f"{text!r} is still to come: nothing can have been missed since",
            param_hint="--missed-since",
        )
    evidence = gather_evidence(
        view.context, view.settings, view.layout, view.known, view.state, view.traces
    )
    past = look_back(evidence, since.at, view.now)
    notes = view.notes if since.note is None else (*view.notes, since.note)
    if view.traces.blind is not None:
        notes = (*notes, view.traces.blind)
    if asked.as_json:
        say_json({**_head_row(view, notes), **_past_row(past, view)})
        return _exit_code(view)
    _say_head(view, notes)
    if not isinstance(view.known.schedule, Never | Unschedulable):
        _say_past(view, past)
    return _exit_code(view)


def _say_past(view: View, past: Past) -> None:
    zone = view.known.zone
    counts = past.counts()
    found = [f"{counts[fate]} {fate.value}" for fate in Fate if counts[fate]]
    if past.older is not None and past.older.count is None:
        found.append("those of long ago not counted")
    say(f"since {local_text(past.since, zone)}: {', '.join(found) or 'no slot has passed'}")
    lines = [_group_line(group, zone) for group in past.lines(_MOST_LINES)]
    if len(lines) > _MOST_LINES:
        say(f"  {len(lines) - _MOST_LINES} earlier lines are left out; --json has all")
    for line in lines[-_MOST_LINES:]:
        say(f"  {line}")


def _group_line(group: AnswerGroup, zone: ZoneInfo) -> str:
    span = local_text(group.first.at, zone)
    if group.count != 1:
        count = "not counted" if group.count is None else f"{group.count} slots"
        span = f"{span} to {local_text(group.last.at, zone)}, {count}"
    return f"{span}  {group.fate.value}: {group.why}"


# --- words and rows -------------------------------------------------------------------------------


def _say_head(view: View, notes: tuple[str, ...]) -> None:
    zone = view.known.zone
    say(str(view.layout.package))
    say(f"schedule  {describe_schedule(view.known.schedule)}")
    say(f"zone      {zone.key}, {view.zone_words}")
    if counted := describe_phase(view.known.schedule, view.phase):
        say(f"counted   {counted}")
    for note in notes:
        say(f"note      {note}")


def _head_row(view: View, notes: tuple[str, ...]) -> dict[str, Any]:
    known = view.known
    return {
        "database": str(view.layout.package),
        "data_file": str(view.layout.data_file),
        "schedule": describe_schedule(known.schedule),
        "is_scheduled": not isinstance(known.schedule, Never | Unschedulable),
        "zone": known.zone.key,
        "now": _utc(view.now),
        "counted": describe_phase(known.schedule, view.phase),
        "notes": list(notes),
    }


def _slot_row(view: View, slot: Slot) -> dict[str, Any]:
    zone = view.known.zone
    return {
        "at": _utc(slot.at),
        "local": slot.at.astimezone(zone).isoformat(),
        "weekday": local_text(slot.at, zone)[:3],
        "wall": slot.wall.isoformat(),
        "reason": _with_pause(view, slot, slot.reason) or None,
        "rule": explain_slot(slot, view.known.schedule, view.phase),
    }


def _past_row(past: Past, view: View) -> dict[str, Any]:
    counts = past.counts()
    return {
        "since": _utc(past.since),
        "counts": {fate.value: counts[fate] for fate in Fate},
        "groups": [
            {
                "first": _utc(group.first.at),
                "last": _utc(group.last.at),
                "count": group.count,
                "fate": group.fate.value,
                "why": group.why,
            }
            for group in past.groups()
        ],
        "slots": [
            {**_slot_row(view, one.slot), "fate": one.fate.value, "why": one.why}
            for one in past.not_fine()
            if one.fate is not Fate.UNKNOWN
        ],
    }


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
