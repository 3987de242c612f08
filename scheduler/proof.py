"""What is remembered of drills and scrubs, how one ended, and both as JSON for the state file and the child's pipe.

Pure: what follows for the next one is decided in due.py.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from scheduler.outcomes import Failed

# of what went wrong; the journal has all of it
TEXT_LENGTH = 500
_NUMBER = re.compile(r"\[(\d{4,12})\]")
_LONGEST = 1 << 53  # milliseconds


@dataclass(frozen=True, slots=True)
class LastDrill:
    """A drill that ended: `seconds` are those of the restore alone, `code` 0 when everything came back equal.

    `number` is 0 when it never came to a set.
    """

    ended: datetime
    number: int
    seconds: float
    code: int
    text: str

    @property
    def is_good(self) -> bool:
        """Whether the restore is proven."""
        return self.code == 0


@dataclass(frozen=True, slots=True)
class Verified:
    """The newest verification of one set, by the name of its folder: `code` 0 when it is whole."""

    name: str
    at: datetime
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Begun:
    """What was begun, and has not ended as far as is known."""

    kind: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Proof:
    """What is known of one database's drills and scrubs.

    `proven` is the last drill that succeeded; `asked` since when drills are wanted; `verified` tells of kept
    sets that the scrub has read; `oldest` is the last verification that is longest ago, None when nobody has
    looked yet; the counts are of all times. What is None has not happened.
    """

    drill: LastDrill | None = None
    proven: LastDrill | None = None
    asked: datetime | None = None
    begun: Begun | None = None
    verified: tuple[Verified, ...] = ()
    oldest: datetime | None = None
    scrubbed: int = 0
    damaged: int = 0
    repaired: int = 0


# --- how one ended --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drilled:
    """A drill was made, and journaled; or somebody else had made one (`by_hand`)."""

    last: LastDrill
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """The sets were looked at: `read` is the one that was read, None when none was due; `kept` all there are."""

    read: Verified | None
    was_damaged: bool
    is_repaired: bool
    kept: tuple[str, ...]
    oldest: datetime


@dataclass(frozen=True, slots=True)
class NotNow:
    """It was not made, and that is no failure: stopped, or nothing there to do it with."""

    why: str


Told = Drilled | Scrubbed | NotNow
ChoreEnding = Told | Failed


def after_drill(proof: Proof, last: LastDrill) -> Proof:
    """A drill ended."""
    proven = last if last.is_good else proof.proven
    return replace(proof, drill=last, proven=proven, begun=None)


def after_scrub(proof: Proof, scrubbed: Scrubbed) -> Proof:
    """One set was read again, or none; sets that are gone are forgotten."""
    verified = {one.name: one for one in proof.verified if one.name in scrubbed.kept}
    if scrubbed.read is not None:
        verified[scrubbed.read.name] = scrubbed.read
    return replace(
        proof,
        begun=None,
        verified=tuple(verified.values()),
        oldest=scrubbed.oldest,
        scrubbed=proof.scrubbed + (scrubbed.read is not None),
        damaged=proof.damaged + scrubbed.was_damaged,
        repaired=proof.repaired + scrubbed.is_repaired,
    )


# --- what the history knows -----------------------------------------------------------------------


def drills_told(rows: Iterable[Mapping[str, Any]]) -> list[LastDrill]:
    """The drills among the events of a history, also those made by hand."""
    return [
        LastDrill(
            datetime.fromisoformat(row["endingDate"]),
            set_number(str(row.get("set", ""))),
            _seconds(row.get("duration")),
            int(row["status"]),
            str(row.get("error", "")),
        )
        for row in rows
    ]


def verifications_told(rows: Iterable[Mapping[str, Any]]) -> list[Verified]:
    """The verifications among the events of a history, also those made by hand."""
    return [
        Verified(
            str(row.get("set", "")),
            datetime.fromisoformat(row["endingDate"]),
            int(row["status"]),
            str(row.get("error", "")),
        )
        for row in rows
    ]


def _seconds(milliseconds: object) -> float:
    """Of an event that does not say, or says no number, 0."""
    if isinstance(milliseconds, int | float) and 0 <= milliseconds <= _LONGEST:
        return milliseconds / 1000
    return 0.0


def newest_drill(*drills: LastDrill | None) -> LastDrill | None:
    """The one that ended last; None when there is none."""
    there = [drill for drill in drills if drill is not None]
    return max(there, key=lambda drill: drill.ended, default=None)


def newest_verdicts(verified: Iterable[Verified]) -> dict[str, Verified]:
    """What was found last of each set."""
    newest: dict[str, Verified] = {}
    for one in sorted(verified, key=lambda one: one.at):
        newest[one.name] = one
    return newest


def set_number(name: str) -> int:
    """The number in the name of a set's folder, 0 without one."""
    found = _NUMBER.search(name)
    return int(found[1]) if found else 0


# --- codec ----------------------------------------------------------------------------------------


def proof_to_json(proof: Proof) -> dict[str, Any]:
    """What the state file keeps."""
    row = _plain(asdict(proof))
    assert isinstance(row, dict)  # noqa: S101 - asdict makes one
    return row


def proof_from_json(row: dict[str, Any] | None) -> Proof:
    """Read it back; None in states of older releases. Raises KeyError, TypeError or ValueError."""
    if row is None:
        return Proof()
    begun = row["begun"]
    return Proof(
        drill=_drill_from(row["drill"]),
        proven=_drill_from(row["proven"]),
        asked=_instant_or_none(row["asked"]),
        begun=None if begun is None else Begun(str(begun["kind"]), _instant(begun["at"])),
        verified=tuple(_verified_from(one) for one in row["verified"]),
        oldest=_instant_or_none(row["oldest"]),
        scrubbed=int(row["scrubbed"]),
        damaged=int(row["damaged"]),
        repaired=int(row["repaired"]),
    )


def chore_ending_to_json(ending: Told) -> dict[str, Any]:
    """The last line of the child's pipe."""
    row = _plain(asdict(ending))
    assert isinstance(row, dict)  # noqa: S101 - asdict makes one
    return {"ending": type(ending).__name__, **row}


def chore_ending_from_json(row: dict[str, Any]) -> Told:
    """Read it back. Raises KeyError, TypeError or ValueError."""
    match row["ending"]:
        case "Drilled":
            last = _drill_from(row["last"])
            if last is None:
                raise ValueError("a drill that tells nothing")
            return Drilled(last, bool(row["by_hand"]))
        case "Scrubbed":
            read = row["read"]
            return Scrubbed(
                None if read is None else _verified_from(read),
                bool(row["was_damaged"]),
                bool(row["is_repaired"]),
                tuple(str(name) for name in row["kept"]),
                _instant(row["oldest"]),
            )
        case "NotNow":
            return NotNow(str(row["why"]))
        case other:
            raise ValueError(f"unknown ending {other!r}")


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat()
        case dict():
            return {key: _plain(one) for key, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case _:
            return value


def _drill_from(row: dict[str, Any] | None) -> LastDrill | None:
    if row is None:
        return None
    return LastDrill(
        _instant(row["ended"]),
        int(row["number"]),
        float(row["seconds"]),
        int(row["code"]),
        str(row["text"]),
    )


def _verified_from(row: dict[str, Any]) -> Verified:
    return Verified(str(row["name"]), _instant(row["at"]), int(row["code"]), str(row["text"]))


def _instant_or_none(text: str | None) -> datetime | None:
    return None if text is None else _instant(text)


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None or not 1970 <= instant.year <= 9000:
        raise ValueError(f"no instant that a clock shows: {text}")
    return instant
