"""How a run ended, as the child tells it to the service: values and their form on the pipe.

`ended` is when, by the run's own clock; None when the run could not say.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Published:
    """A set is there; `code` is 0 when it is complete, else why it is partial. `removed`: names that rotation took."""

    number: int
    folder: str
    code: int
    text: str
    warnings: tuple[str, ...]
    removed: tuple[str, ...] = ()
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class Postponed:
    """Nothing had changed since the last good set (BackupIfDataChange)."""

    text: str
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """No set was published; `exit_code` is that of the process."""

    code: int
    exit_code: int
    text: str
    hint: str
    ended: datetime | None = None


Ending = Published | Postponed | Failed


def ending_to_json(ending: Ending) -> dict[str, Any]:
    """The last line of the pipe."""
    return {**_to_json(ending), "ended": None if ending.ended is None else ending.ended.isoformat()}


def _to_json(ending: Ending) -> dict[str, Any]:
    match ending:
        case Published(number, folder, code, text, warnings, removed):
            return {
                "ending": "published",
                "number": number,
                "folder": folder,
                "code": code,
                "text": text,
                "warnings": list(warnings),
                "removed": list(removed),
            }
        case Postponed(text):
            return {"ending": "postponed", "text": text}
        case Failed(code, exit_code, text, hint):
            return {
                "ending": "failed",
                "code": code,
                "exit_code": exit_code,
                "text": text,
                "hint": hint,
            }


def ending_from_json(row: dict[str, Any]) -> Ending:
    """Read it back. Raises KeyError, TypeError or ValueError."""
    ending, ended = _from_json(row), row.get("ended")
    return ending if ended is None else replace(ending, ended=datetime.fromisoformat(ended))


def _from_json(row: dict[str, Any]) -> Ending:
    match row["ending"]:
        case "published":
            warnings = tuple(str(warning) for warning in row["warnings"])
            removed = tuple(str(name) for name in row["removed"])
            number, code = int(row["number"]), int(row["code"])
            return Published(number, str(row["folder"]), code, str(row["text"]), warnings, removed)
        case "postponed":
            return Postponed(str(row["text"]))
        case "failed":
            return Failed(
                int(row["code"]), int(row["exit_code"]), str(row["text"]), str(row["hint"])
            )
        case other:
            raise ValueError(f"unknown ending {other!r}")
