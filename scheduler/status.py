"""How a database does, from what lies on the disk: works with and without a running service."""

import shlex
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from engine.errors import Code, EngineError
from engine.history import events_of, load_history
from engine.lock import DATABASE_LOCK, current_holder, memory_of
from engine.ownsets import own_sets
from engine.plan import free_bytes, resolve_destination
from engine.sets import StoredSet
from scheduler.after import after_restart, after_settings_change
from scheduler.context import Context, look_for_sets
from scheduler.decide import Halted, decide
from scheduler.environment import Environment
from scheduler.known import Known, watch
from scheduler.log_status import log_trouble
from scheduler.lost import recall_lost
from scheduler.proof import Proof
from scheduler.proof_status import ProofStatus, proof_status, proof_trouble
from scheduler.service_state import ServiceState, service_state
from scheduler.settings_source import load_last_good
from scheduler.shipping_status import ShippingStatus, shipping_status
from scheduler.slots import Slot, missed_slots, slots_after
from scheduler.state import State, StateError, load_state, state_file
from settings.errors import SettingsError
from settings.layout import DatabaseLayout
from settings.model import Never, Settings
from settings.reader import load_settings
from settings.service_model import ServedDatabase

# a slot this long ago without a good set is worth a word, even if a run is on its way
_LATE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class LastOperation:
    """How the last backup ended: `code` 0 for a complete set."""

    ended: datetime
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Status:
    """Everything `backup4d status` shows of one database.

    `last_good` is the newest complete set; `paused_until` is None without a pause, `shipping` when it is not asked for; `plan` what happens next, in words; `trouble` sentences that
    call for a person, empty when all is well.
    """

    package: str
    running: dict[str, Any] | None
    last: LastOperation | None
    last_good: StoredSet | None
    sets: int
    next_slot: datetime | None
    paused_until: datetime | None
    plan: str
    destination: str
    free: int | None
    trouble: tuple[str, ...]
    proof: ProofStatus = field(default_factory=ProofStatus)
    shipping: ShippingStatus | None = None


def database_status(context: Context, package: Path, data_file: Path | None) -> Status:
    """Gather the status of one database; what cannot be read becomes trouble, not an error."""
    now = context.clock.now()
    trouble: list[str] = []
    found = _settings(context, package, data_file, trouble)
    if found is None:
        return _without_settings(context, package.absolute(), trouble)
    layout, settings = found
    context = context.at_home_of(layout.package)
    sets, destination, free = _sets(context, layout, settings, trouble)
    state = _state(context.environment, layout, trouble)
    service, _ = service_state(context.environment)
    known = _known(context, settings, state, service, now)
    plan, next_slot = _plan(known, now, trouble)
    last = _last(state, layout, destination, sets)
    if last is not None and last.code not in (0, Code.STOPPED):
        trouble.append(f"the last backup ended with error {last.code}: {last.text}")
    complete = [stored for stored in sets if stored.facts.complete]
    if free is not None and not complete:
        trouble.append("there is no complete set yet")
    if free is not None and sets and free < sets[-1].facts.archive_bytes:
        trouble.append("the backup folder has less room than the last set took")
    trouble += log_trouble(layout, settings, complete)
    trouble += _neglect(known, service, complete, now)
    remembered = Proof() if state is None else state.proof
    entry = context.entry(layout)
    proof = proof_status(remembered, entry, layout, destination)
    trouble += proof_trouble(proof, now, context.zone)
    return Status(
        package=str(layout.package),
        running=_running(layout),
        last=last,
        last_good=complete[-1] if complete else None,
        sets=len(sets),
        next_slot=next_slot,
        paused_until=known.paused_until,
        plan=plan,
        destination=str(destination or settings.destination.raw),
        free=free,
        trouble=tuple(trouble),
        proof=proof,
        shipping=shipping_status(entry.shipping, layout, destination, now),
    )


def silent_status(package: Path, why: str) -> Status:
    """Of a database that cannot be looked at."""
    plan = "not known while its disks do not answer"
    return Status(str(package), None, None, None, 0, None, None, plan, "", None, (why,))


def _without_settings(context: Context, package: Path, trouble: list[str]) -> Status:
    """What is remembered of it; of an application that is gone also how it comes back."""
    plan = "nothing is scheduled while the settings cannot be read"
    lost = None if package.exists() else recall_lost(context, package)
    last = None
    if lost is not None:
        name = shlex.quote(str(package))
        trouble.append(
            f"its sets are in {lost.destination}; when the application is lost for good, this brings back the newest"
            f" there is: backup4d restore {name} --latest --to {name}"
        )
        if lost.last is not None:
            last = LastOperation(lost.last.ended, lost.last.code, lost.last.text)
    return Status(str(package), None, last, None, 0, None, None, plan, "", None, tuple(trouble))


def _settings(
    context: Context, package: Path, data_file: Path | None, trouble: list[str]
) -> tuple[DatabaseLayout, Settings] | None:
    """The settings; while they cannot be used, the last good ones, as the service has them."""
    try:
        layout = context.layout(package, data_file)
        return layout, load_settings(layout.settings_file).settings
    except (SettingsError, OSError) as error:
        folder = context.at_home_of(package.absolute()).environment.state_folder
        found = load_last_good(ServedDatabase(package, data_file), folder)
        if found is None:
            trouble.append(str(error))
            return None
        trouble.append(f"{error}; the last good settings stay in force")
        layout, reading = found
        return layout, reading.settings


def _neglect(
    known: Known, service: ServiceState, complete: list[StoredSet], now: datetime
) -> list[str]:
    """Backups that have stopped without anybody noticing."""
    if isinstance(known.schedule, Never):
        return []
    trouble: list[str] = []
    if service is ServiceState.STOPPED:
        trouble.append("the service is not running: no automatic backup will be made")
    if complete and known.running is None and known.trouble is None:
        facts = complete[-1].facts
        since = max(facts.started, facts.scheduled or facts.started)
        passed = missed_slots(known.schedule, since, now - _LATE, known.anchor, known.zone)
        if passed is not None:
            trouble.append(
                f"{passed.count} scheduled backup(s) have passed since the last good set"
            )
    return trouble


def coming_slots(
    context: Context, settings: Settings, layout: DatabaseLayout, count: int
) -> list[Slot]:
    """The next slots as the service would serve them."""
    now = context.clock.now()
    known, _ = known_now(context, settings, layout, [])
    after = max(known.answered_until, now)
    slots = slots_after(known.schedule, after, known.anchor, known.zone)
    return [slot for slot, _ in zip(slots, range(count), strict=False)]


def known_now(
    context: Context, settings: Settings, layout: DatabaseLayout, trouble: list[str]
) -> tuple[Known, State | None]:
    """What the service knows, or would know if it started now; and the state it has that from, None without one."""
    state = _state(context.environment, layout, trouble)
    service, _ = service_state(context.environment)
    return _known(context, settings, state, service, context.clock.now()), state


def _sets(
    context: Context, layout: DatabaseLayout, settings: Settings, trouble: list[str]
) -> tuple[tuple[StoredSet, ...], Path | None, int | None]:
    try:
        destination = resolve_destination(layout, settings, context.service.path_map)
    except EngineError as error:
        trouble.append(f"{error}; {error.hint}")
        return (), None, None
    try:
        inventory = look_for_sets(layout, destination)
        trouble += [f"{name} is no usable set: {why}" for name, why in inventory.unreadable]
        return own_sets(inventory.sets, layout), destination, free_bytes(destination)
    except EngineError as error:
        trouble.append(f"{error}; {error.hint}")
        return (), destination, None
    except OSError as error:
        trouble.append(f"the backup folder {destination} cannot be read: {error.strerror}")
        return (), destination, None


def _state(environment: Environment, layout: DatabaseLayout, trouble: list[str]) -> State | None:
    try:
        return load_state(state_file(environment.state_folder, layout.data_file))
    except StateError as error:
        file = state_file(environment.state_folder, layout.data_file)
        trouble.append(f"the service's state cannot be read: {file}: {error}")
        return None


def _known(
    context: Context,
    settings: Settings,
    state: State | None,
    service: ServiceState,
    now: datetime,
) -> Known:
    if state is None:
        return watch(settings.schedule, settings.retry, context.zone, now)
    known = state.known
    if service is ServiceState.STOPPED:
        known = after_restart(known, now)
    if (known.schedule, known.retry, known.zone) == (
        settings.schedule,
        settings.retry,
        context.zone,
    ):
        return known
    return after_settings_change(known, settings.schedule, settings.retry, context.zone, now).known


def _plan(known: Known, now: datetime, trouble: list[str]) -> tuple[str, datetime | None]:
    decision = decide(known, now)
    unpaused = decide(replace(known, paused_until=None), now)
    if isinstance(unpaused, Halted):
        trouble.append(unpaused.reason)
    coming = next(
        slots_after(known.schedule, max(known.answered_until, now), known.anchor, known.zone), None
    )
    return decision.reason, None if coming is None else coming.at


def _running(layout: DatabaseLayout) -> dict[str, Any] | None:
    try:
        return current_holder(layout.package / "Logs" / DATABASE_LOCK)
    except OSError:
        return None


def _last(
    state: State | None,
    layout: DatabaseLayout,
    destination: Path | None,
    sets: tuple[StoredSet, ...],
) -> LastOperation | None:
    """The latest of what the service remembers, the history's events and the newest set."""
    found: list[LastOperation] = []
    if state is not None and state.last is not None:
        found.append(LastOperation(state.last.ended, state.last.code, state.last.text))
    if sets:
        facts = sets[-1].facts
        text = "complete set" if facts.complete else "partial set"
        found.append(
            LastOperation(facts.ended, 0 if facts.complete else 1409, f"{text} {facts.number}")
        )
    found += _remembered_failure(layout)
    if destination is not None:
        found += _failures(layout, destination)
    return max(found, key=lambda operation: operation.ended, default=None)


def _remembered_failure(layout: DatabaseLayout) -> list[LastOperation]:
    """The failure the lock's memory tells of: it is there even when the destination could not be written."""
    try:
        row = memory_of(layout)["failure"]
        return [
            LastOperation(datetime.fromisoformat(row["ended"]), int(row["code"]), str(row["text"]))
        ]
    except (OSError, KeyError, TypeError, ValueError):
        return []


def _failures(layout: DatabaseLayout, destination: Path) -> list[LastOperation]:
    try:
        document = load_history(destination).document
    except OSError:
        return []
    return [
        LastOperation(ended, code, text)
        for ended, code, text in events_of(document, layout.key, "backup")
    ]
