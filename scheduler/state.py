"""What must survive a restart of the service: one small file for each database, replaced as a whole.

A file that is damaged or from a newer release is set aside, never guessed at; what it said is then rebuilt
from the sets themselves (service.py).
"""

import hashlib
import json
import os
import sys
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from engine.files import read_regular, replacing
from scheduler.known import Failure, Halt, Known, Manual, Owed, Running, Serving, Trouble
from scheduler.proof import Proof, proof_from_json, proof_to_json
from scheduler.slots import Slot
from settings.model import (
    Daily,
    Hourly,
    Monthly,
    Never,
    RetryAtNextSlot,
    RetryOnce,
    RetryPolicy,
    RetryUpTo,
    Schedule,
    Unschedulable,
    Weekly,
)

FORMAT = "backup4d-state"
VERSION = 1
_LIMIT = 16 << 20  # a line or five for each set that a scrub has read
# no clock shows a year outside of these, and no arithmetic on what lies within leaves what dates can hold
_FIRST_YEAR, _LAST_YEAR = 1970, 9000


@dataclass(frozen=True, slots=True)
class LastRun:
    """How the last run ended: `code` 0 for a complete set; `number` is None when none was published."""

    ended: datetime
    code: int
    text: str
    number: int | None


@dataclass(frozen=True, slots=True)
class State:
    """Everything remembered of one database; `last` is None before the first run.

    `number` is the highest set number it knows of, None before it knew of any; `proof` what is known of drills
    and scrubs.
    """

    package: str
    known: Known
    last: LastRun | None = None
    number: int | None = None
    proof: Proof = field(default_factory=Proof)


class StateError(Exception):
    """The state file cannot be used; the message says why."""

    mark = "unusable"


class NewerStateError(StateError):
    """It is whole, and of a release that knows more; what it says of pauses and halts is not guessed at."""

    mark = "newer"

    def __init__(self, version: int) -> None:
        super().__init__(
            f"it was written by a newer backup4d: it has version {version}, this one reads up to {VERSION};"
            " install that one or a newer one"
        )


def state_file(folder: Path, data_file: Path) -> Path:
    """The state file of a database."""
    tag = hashlib.sha256(os.fsencode(data_file)).hexdigest()[:16]
    return folder / f"{data_file.stem[:40]}-{tag}.json"  # four bytes a letter, 255 in all


def load_state(file: Path) -> State | None:
    """Read a state; None when there is none. Raises StateError."""
    try:
        data = read_regular(file, _LIMIT, links=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"it cannot be read: {error.strerror}") from error
    try:
        row = json.loads(data)
        if row["format"] != FORMAT or not isinstance(row["version"], int):
            raise StateError("it is not a state file of backup4d")
        if row["version"] > VERSION:
            raise NewerStateError(row["version"])
        return _state_from(row)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OSError,  # a zone that names a folder of the zone database
        RecursionError,
        OverflowError,
    ) as error:
        raise StateError("it is damaged, or was not written by backup4d") from error


def save_state(file: Path, state: State) -> None:
    """Replace the state file. Raises OSError."""
    file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    text = json.dumps(_state_to(state), indent=1)
    with replacing(file, mode=0o640) as stream:
        stream.write(text.encode("ascii"))


def set_aside(file: Path, now: datetime, mark: str = StateError.mark) -> Path:
    """Keep a state file that cannot be used under another name. Raises OSError."""
    target = file.with_name(f"{file.name}.{mark}-{now:%Y%m%dT%H%M%SZ}")
    file.rename(target)
    return target


# --- codec ----------------------------------------------------------------------------------------


def _state_to(state: State) -> dict[str, Any]:
    known = state.known
    return {
        "format": FORMAT,
        "version": VERSION,
        "package": state.package,
        "schedule": _schedule_to(known.schedule),
        "retry": _retry_to(known.retry),
        "zone": known.zone.key,
        "anchor": known.anchor.isoformat(),
        "answered_until": known.answered_until.isoformat(),
        "trouble": _trouble_to(known.trouble),
        "running": _running_to(known.running),
        "paused_until": None if known.paused_until is None else known.paused_until.isoformat(),
        "number": state.number,
        "proof": proof_to_json(state.proof),
        "last": None
        if state.last is None
        else {
            "ended": state.last.ended.isoformat(),
            "code": state.last.code,
            "text": state.last.text,
            "number": state.last.number,
        },
    }


def _state_from(row: dict[str, Any]) -> State:
    last = row["last"]
    paused_until = row.get("paused_until")  # absent before releases knew pauses
    known = Known(
        schedule=_schedule_from(row["schedule"]),
        retry=_retry_from(row["retry"]),
        zone=ZoneInfo(str(row["zone"])),
        anchor=_anchor(row["anchor"]),
        answered_until=_instant(row["answered_until"]),
        trouble=_trouble_from(row["trouble"]),
        running=_running_from(row["running"]),
        paused_until=None if paused_until is None else _instant(paused_until),
    )
    if last is not None:
        of_run = None if last["number"] is None else int(last["number"])
        last = LastRun(_instant(last["ended"]), int(last["code"]), str(last["text"]), of_run)
    number = row.get("number")
    proof = proof_from_json(row.get("proof"))  # absent before releases made drills
    number = None if number is None else int(number)
    return State(str(row["package"]), known, last, number, proof)


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"an instant without a zone: {text}")
    _within(instant.year, _FIRST_YEAR, _LAST_YEAR)
    return instant


def _anchor(text: str) -> date:
    anchor = date.fromisoformat(text)
    _within(anchor.year, _FIRST_YEAR, _LAST_YEAR)
    return anchor


def _clock(text: str) -> time:
    clock = time.fromisoformat(text)
    if clock.tzinfo is not None:
        raise ValueError(f"a wall clock with a zone: {text}")
    return clock


def _within(value: object, least: int, most: int) -> int:
    number = int(str(value))
    if not least <= number <= most:
        raise ValueError(f"{number} is not between {least} and {most}")
    return number


def _every(value: object) -> int:
    return _within(value, 1, sys.maxsize)


def _schedule_to(schedule: Schedule) -> dict[str, Any]:
    match schedule:
        case Never():
            return {"rule": "Never"}
        case Unschedulable(why):
            return {"rule": "Unschedulable", "why": why}
        case Hourly(every, at):
            return {"rule": "Hourly", "every": every, "at": at.isoformat()}
        case Daily(every, at):
            return {"rule": "Daily", "every": every, "at": at.isoformat()}
        case Weekly(every, days):
            rows = [[day, at.isoformat()] for day, at in days]
            return {"rule": "Weekly", "every": every, "days": rows}
        case Monthly(every, day, at):
            return {"rule": "Monthly", "every": every, "day": day, "at": at.isoformat()}


def _schedule_from(row: dict[str, Any]) -> Schedule:
    match row["rule"]:
        case "Never":
            return Never()
        case "Unschedulable":
            return Unschedulable(str(row["why"]))
        case "Hourly":
            return Hourly(_within(row["every"], 1, 24), _clock(row["at"]))
        case "Daily":
            return Daily(_every(row["every"]), _clock(row["at"]))
        case "Weekly":
            days = tuple((_within(day, 0, 6), _clock(at)) for day, at in row["days"])
            return Weekly(_every(row["every"]), days)
        case "Monthly":
            return Monthly(_every(row["every"]), _within(row["day"], 1, 31), _clock(row["at"]))
        case other:
            raise ValueError(f"unknown rule {other!r}")


def _retry_to(retry: RetryPolicy) -> dict[str, Any]:
    match retry:
        case RetryAtNextSlot():
            return {"policy": "next slot"}
        case RetryOnce(delay):
            return {"policy": "once", "seconds": delay.total_seconds()}
        case RetryUpTo(delay, attempts):
            return {"policy": "up to", "seconds": delay.total_seconds(), "attempts": attempts}


def _retry_from(row: dict[str, Any]) -> RetryPolicy:
    match row["policy"]:
        case "next slot":
            return RetryAtNextSlot()
        case "once":
            return RetryOnce(_delay(row["seconds"]))
        case "up to":
            return RetryUpTo(_delay(row["seconds"]), _every(row["attempts"]))
        case other:
            raise ValueError(f"unknown policy {other!r}")


def _delay(seconds: object) -> timedelta:
    delay = timedelta(seconds=float(str(seconds)))
    if delay < timedelta():
        raise ValueError(f"a delay before its beginning: {delay}")
    return delay


def _slot_to(slot: Slot) -> dict[str, Any]:
    return {"at": slot.at.isoformat(), "wall": slot.wall.isoformat(), "reason": slot.reason}


def _slot_from(row: dict[str, Any]) -> Slot:
    reason = None if row["reason"] is None else str(row["reason"])
    return Slot(_instant(row["at"]), datetime.fromisoformat(row["wall"]), reason)


def _trouble_to(trouble: Trouble | None) -> dict[str, Any] | None:
    match trouble:
        case None:
            return None
        case Owed(slot, missed, last):
            newest = None if last is None else _slot_to(last)
            return {"kind": "owed", "slot": _slot_to(slot), "missed": missed, "last": newest}
        case Failure(slot, attempts, at, code):
            return _attempts_to("failure", slot, attempts, at, code)
        case Halt(slot, attempts, at, code):
            return _attempts_to("halt", slot, attempts, at, code)


def _attempts_to(kind: str, slot: Slot, attempts: int, at: datetime, code: int) -> dict[str, Any]:
    return {
        "kind": kind,
        "slot": _slot_to(slot),
        "attempts": attempts,
        "at": at.isoformat(),
        "code": code,
    }


def _trouble_from(row: dict[str, Any] | None) -> Trouble | None:
    if row is None:
        return None
    slot = _slot_from(row["slot"])
    match row["kind"]:
        case "owed":
            last = row.get("last")  # absent, as `missed` is, in states of older releases
            newest = None if last is None else _slot_from(last)
            return Owed(slot, _within(row.get("missed", 0), 0, sys.maxsize), newest)
        case "failure":
            return Failure(slot, int(row["attempts"]), _instant(row["at"]), int(row["code"]))
        case "halt":
            return Halt(slot, int(row["attempts"]), _instant(row["at"]), int(row["code"]))
        case other:
            raise ValueError(f"unknown trouble {other!r}")


def _running_to(running: Running | None) -> dict[str, Any] | None:
    match running:
        case None:
            return None
        case Manual(began):
            return {"kind": "manual", "began": began.isoformat()}
        case Serving(slot, attempt, began):
            return {
                "kind": "serving",
                "slot": _slot_to(slot),
                "attempt": attempt,
                "began": began.isoformat(),
            }


def _running_from(row: dict[str, Any] | None) -> Running | None:
    if row is None:
        return None
    match row["kind"]:
        case "manual":
            return Manual(_instant(row["began"]))
        case "serving":
            attempt = _every(row["attempt"])
            return Serving(_slot_from(row["slot"]), attempt, _instant(row["began"]))
        case other:
            raise ValueError(f"unknown run {other!r}")
