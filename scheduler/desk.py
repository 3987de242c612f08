"""Answers what people ask a running service: status, stop, backup, reload, pause, resume."""

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.errors import Code, Exit
from engine.history import utc_text
from engine.host import Clock
from scheduler.control import Asked
from scheduler.decide import Decision
from scheduler.errands import ONE_SECONDS, Errand, SilentDiskError, ask
from scheduler.known import LONGEST_PAUSE
from scheduler.outcomes import ending_to_json
from scheduler.runs import Job, Runs
from scheduler.served import Served
from scheduler.state import StateError, load_state, state_file
from settings.layout import DatabaseLayout

_log = logging.getLogger(__name__)


class _RefusedError(Exception):
    """The request cannot be met; the row says why."""

    def __init__(self, why: str, *, hint: str = "", code: int = 0, exit_code: int = 1) -> None:
        super().__init__(why)
        self.row = {"last": True, "error": why, "hint": hint, "code": code, "exit": exit_code}


class Desk:
    """Works in the service's own thread; `look` makes the service look at everything again, `refresh` at one."""

    def __init__(
        self,
        runs: Runs,
        clock: Clock,
        look: Callable[[], list[str]],
        refresh: Callable[[Served], None],
        shipping: Callable[[Served], dict[str, Any] | None] = lambda _: None,
    ) -> None:
        self._runs = runs
        self._clock = clock
        self._look = look
        self._refresh = refresh
        self._shipping = shipping
        self._comparing: Errand[list[Served]] = Errand(list, clock)
        self.databases: list[Served] = []
        self.decisions: dict[Served, Decision | None] = {}
        self.problem: str | None = None

    def serve(self, asked: Asked) -> None:
        """Answer one request; a mistake in it harms nobody, and what nobody waits for any more is not done."""
        if asked.is_gone:
            return
        try:
            asked.answer(self._answer(asked))
        except _RefusedError as refused:
            asked.answer(refused.row)
        except (KeyError, TypeError, ValueError) as error:
            asked.answer(_RefusedError(f"the request was not understood: {error}").row)
        except Exception as error:  # noqa: BLE001 - the boundary of one request: the service goes on
            _log.exception("this is a mistake in backup4d, please report it with these lines")
            why = f"this is a mistake in backup4d, please report it: {error!r}"
            asked.answer(_RefusedError(why).row)

    def _answer(self, asked: Asked) -> dict[str, Any]:
        match asked.row["ask"]:
            case "status":
                return {"last": True, **self._status()}
            case "reload":
                problems = self._look()
                text = "\n".join([f"{len(self.databases)} database(s) served", *problems])
                return {"last": True, "text": text, "problems": problems}
            case "stop":
                return self._stop(asked)
            case "backup":
                return self._backup(asked)
            case "pause":
                return self._pause(asked)
            case "resume":
                return self._resume(self._database(asked.row), asked.who)
            case other:
                raise _RefusedError(f"this service does not know the request {other!r}")

    def _database(self, row: dict[str, Any]) -> Served:
        """The one that is meant; without a data file, the only one of this package."""
        package = _full_path(row["package"])
        data_file = None if row["data_file"] is None else _full_path(row["data_file"])
        found = [one for one in self.databases if _is_meant(one, package, data_file, _is_equal)]
        if not found:
            found = self._under_other_names(package, data_file)
        if len(found) == 1 or (found and data_file is not None):
            return found[0]
        if found:
            raise _RefusedError(f"the service serves several data files of {package}; name one")
        raise _RefusedError(
            f"the service does not serve {package} with its data file {data_file}",
            hint="list it in the service file; see docs/settings.md",
        )

    def _under_other_names(self, package: Path, data_file: Path | None) -> list[Served]:
        """The same by links or mounts; those on disks that do not answer are not found in this way."""
        databases = [one for one in self.databases if not one.looks.is_under_way]
        if self._comparing.is_under_way:
            return []
        self._comparing = Errand(
            lambda: [one for one in databases if _is_meant(one, package, data_file, _is_same)],
            self._clock,
        )
        try:
            return ask(self._comparing, ONE_SECONDS, self._clock) or []
        except SilentDiskError:
            return []

    def _status(self) -> dict[str, Any]:
        return {
            "problem": self.problem,
            "zone": self._runs.host.zone.key,
            "path_map": [list(entry) for entry in self._runs.host.path_map.entries],
            "databases": [self._row(database) for database in self.databases],
        }

    def _row(self, database: Served) -> dict[str, Any]:
        job = self._runs.of(database)
        known = database.known
        decision = self.decisions.get(database)
        paused = None if known is None else known.paused_until
        return {
            "package": str(database.entry.package),
            "data_file": None if database.layout is None else str(database.layout.data_file),
            "problem": database.problem,
            "silent": None if database.silence is None else database.problem,
            "plan": None if decision is None else decision.reason,
            "paused_until": None if paused is None else utc_text(paused),
            "run": None if job is None else _job_row(job),
            "shipping": self._shipping(database),
        }

    def _stop(self, asked: Asked) -> dict[str, Any]:
        job = self._runs.of(self._database(asked.row))
        if job is None:
            return {"last": True, "running": False}
        asked.answer({"running": True, "waited": job.child is None})
        _follow(asked, job)
        self._runs.stop(job, asked.who)
        return _news(job)

    def _backup(self, asked: Asked) -> dict[str, Any]:
        database = self._database(asked.row)
        now = self._clock.now()
        self._refresh(database)
        if database.looks.is_under_way:
            place = database.looks.place or database.name
            raise _RefusedError(
                f"no backup begins now: {place} does not answer",
                hint="is its disk or network away? see backup4d status",
                code=Code.BACKUP_FAILED,
            )
        if database.known is None or database.problem is not None:
            raise _RefusedError(
                database.problem or f"nothing is known of {database.name}",
                hint=f"run: backup4d settings check '{database.name}'",
                code=Code.BACKUP_FAILED,
                exit_code=Exit.REFUSED,
            )
        if database.known.running is not None:
            raise _RefusedError(
                f"a backup of {database.name} is running or waits for its turn",
                hint="see backup4d status",
                code=Code.BUSY,
                exit_code=Exit.LOCKED,
            )
        job = Job(database, None, f"asked for by {asked.who}")
        job.accept_destination = asked.row.get("accept_destination") is True
        database.begin_manual(now)
        self._runs.add(job)
        _follow(asked, job)
        self._runs.start_waiting()
        return {"accepted": True}

    def _pause(self, asked: Asked) -> dict[str, Any]:
        database = self._known(asked.row)
        now = self._clock.now()
        until = datetime.fromisoformat(
            asked.row["until"]
        )  # compared below: TypeError without a zone
        if not now < until <= now + LONGEST_PAUSE:
            raise _RefusedError(
                f"a pause ends in the future, and after {LONGEST_PAUSE.days} days at most",
                exit_code=Exit.USAGE,
            )
        was_paused = _is_paused(database)
        until = until.astimezone(UTC)
        database.pause(until, asked.who, now)
        return {"last": True, "was_paused": was_paused, "saved": self._is_saved(database, until)}

    def _resume(self, database: Served, who: str) -> dict[str, Any]:
        was_paused = _is_paused(database)
        if not was_paused:
            return {"last": True, "was_paused": False, "saved": True}
        database.pause(None, who, self._clock.now())
        return {"last": True, "was_paused": True, "saved": self._is_saved(database, None)}

    def _is_saved(self, database: Served, until: datetime | None) -> bool:
        folder, layout = self._runs.host.state_folder, database.layout
        return layout is not None and pause_is_saved(folder, layout, until)

    def _known(self, row: dict[str, Any]) -> Served:
        database = self._database(row)
        if database.known is None:
            raise _RefusedError(database.problem or f"nothing is known of {database.name} yet")
        return database


def pause_is_saved(state_folder: Path, layout: DatabaseLayout, until: datetime | None) -> bool:
    """Whether a restart will find this pause; a state that cannot be written is only told in the log."""
    try:
        state = load_state(state_file(state_folder, layout.data_file))
    except StateError:
        return False
    return state is not None and state.known.paused_until == until


def _is_paused(database: Served) -> bool:
    return database.known is not None and database.known.paused_until is not None


def _full_path(text: str) -> Path:
    """A path as we see it, too. Raises TypeError, ValueError."""
    path = Path(text)
    if not path.is_absolute() or "\0" in text:
        raise ValueError(f"a full path is needed, not {text!r}")
    return path


def _follow(asked: Asked, job: Job) -> None:
    """Who asked is told how the run is doing, and at once when it ended."""
    job.watchers.append(lambda: asked.answer(_news(job)))
    asked.follow = lambda: _news(job)


def _is_meant(
    database: Served, package: Path, data_file: Path | None, same: Callable[[Path, Path], bool]
) -> bool:
    named = database.entry.data_file
    if named is None and database.layout is not None:
        named = database.layout.data_file
    is_file = named is None or data_file is None or same(named, data_file)
    return is_file and same(database.entry.package, package)


def _is_equal(one: Path, other: Path) -> bool:
    return one == other


def _is_same(one: Path, other: Path) -> bool:
    if one == other:
        return True
    with suppress(OSError):
        return one.samefile(other)
    return False


def _job_row(job: Job) -> dict[str, Any]:
    progress = job.progress()
    return {
        "phase": progress.phase,
        "done": progress.done,
        "total": progress.total,
        "scheduled": None if job.scheduled is None else utc_text(job.scheduled),
        "seconds": None if job.child is None else int(job.child.seconds()),
        "trouble": job.trouble,
    }


def _news(job: Job) -> dict[str, Any]:
    """How a run is doing, or how it ended; called from a thread of the socket."""
    if job.ending is not None:
        return {"last": True, **ending_to_json(job.ending)}
    return _job_row(job)
