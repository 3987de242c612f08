"""The command `open-check`: whether 4D can open the data file; a damaged one is restored when the settings say so.

Made for `ExecStartPre=` of the application's own unit: exit code 0 lets 4D start.
"""

import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from engine.autorestore import Brought, data_in_set, restore_automatically, undo_if_dead
from engine.errors import DestinationError, EngineError, Exit
from engine.lock import DATABASE_LOCK, read_traces
from engine.logmissing import has_saved, is_there
from engine.logplan import LogMode
from engine.opencheck import State, Verdict, judge_set_data
from engine.opening import (
    known_of,
    look_and_judge,
    refuse_during_restore,
    remember_good,
    which_is_meant,
)
from engine.openrecord import load_record, save_record
from engine.openreport import record_check, record_failed, record_restored
from engine.report import Times
from engine.restorelogs import LogWish
from engine.restoring import Told
from engine.setwriter import Surroundings
from engine.undo import has_dead_restore
from scheduler.commands_sets import stop_on_signals
from scheduler.context import Context, context_of
from scheduler.opening import layout_meant, load_policy, sets_at
from scheduler.opening_words import Answer, say_answer
from scheduler.options import DATA_FILE, DATABASE, JSON
from scheduler.screen import progress_shown, time_words
from settings.layout import DatabaseLayout

_UNKNOWN = "mount the volume, correct the permissions, or name the data file with --data-file; nothing was touched"


@click.command("open-check")
@DATABASE
@DATA_FILE
@click.option("--no-restore", is_flag=True, help="Only look, and write nothing at all.")
@JSON
@click.pass_context
def open_check(
    ctx: click.Context, database: Path, data_file: Path | None, *, no_restore: bool, as_json: bool
) -> int:
    """Look at the data file before 4D opens it; restore it when it is damaged and AutomaticRestore is True.

    For ExecStartPre= of the unit that starts 4D. Exit code 0: 4D can open the data. Restored are data file,
    index, sync files, external data and the matching log, from the newest good set; what was there is kept
    aside. Never a restore on a doubt, never a second one right after the first, never while a process has the
    data file open.
    """
    context = context_of(ctx, tolerant=True)
    may_write = not no_restore
    found = context.layout(database, data_file, needs_settings=False)
    with progress_shown(context.clock, quiet=as_json) as report:
        around = Surroundings(context.clock, stop_on_signals(), report)
        # before anything is believed of the disk: the data file itself may be among what was moved aside
        remarks = _undo_dead_restore(found, Told(found, context.zone, around), may_write=may_write)
        look = load_record(found.package / "Logs").look
        layout = layout_meant(context, database, data_file, look)
        told = Told(layout, context.zone, around)
        is_named = data_file is not None
        check = _Check(context, layout, told, is_named=is_named, may_write=may_write)
        answer = check.run()
    answer = replace(answer, remarks=(*remarks, *answer.remarks))
    say_answer(answer, layout, context.zone, as_json=as_json)
    return answer.exit


def _undo_dead_restore(layout: DatabaseLayout, told: Told, *, may_write: bool) -> tuple[str, ...]:
    """What a restore that was killed left is put back. Raises BusyError while one is on, RestoreError."""
    refuse_during_restore(layout)
    file = layout.package / "Logs" / DATABASE_LOCK
    try:
        traces = read_traces(file)
    except OSError as error:
        return (f"whether a restore died here is not known: {file}: {error.strerror}",)
    if not may_write:
        return _died(layout, traces)
    undone = undo_if_dead(layout, told, traces)
    return () if undone is None else (undone,)


def _died(layout: DatabaseLayout, traces: dict[str, Any] | None) -> tuple[str, ...]:
    if not has_dead_restore(layout.package, traces):
        return ()
    return ("a restore in place was killed here; without --no-restore its files are put back",)


class _Check:
    """One opening check."""

    def __init__(
        self,
        context: Context,
        layout: DatabaseLayout,
        told: Told,
        *,
        is_named: bool,
        may_write: bool,
    ) -> None:
        self._context = context
        self._layout = layout
        self._told = told
        self._logs = layout.package / "Logs"
        self._is_named = is_named
        self._may_write = may_write
        self._started = context.clock.now()
        self._remarks: list[str] = []
        self._policy = load_policy(context, layout)
        self._record = load_record(self._logs)

    def run(self) -> Answer:
        """Look, and do what is to be done. Raises BusyError: a restore is on, or one is needed and a backup is on."""
        verdict = self._look()
        if verdict.state is State.GOOD:
            return self._good(verdict)
        if verdict.state is State.DAMAGED and self._may_write and self._policy.restores:
            return self._restore(verdict)
        return self._explain(verdict)

    def _look(self) -> Verdict:
        look = self._record.look
        verdict = None if self._is_named else which_is_meant(self._layout, look)
        if verdict is not None:
            return verdict
        newest = None
        if look is None or look.data_file != self._layout.data_file:
            look, newest = None, next(reversed(sets_at(self._policy, self._layout)), None)
        known = known_of(look, newest, self._context.zone)
        # the backup folder is asked only when there is a log to be missed
        was_saved = not is_there(self._layout.log) and has_saved(
            sets_at(self._policy, self._layout)
        )
        return look_and_judge(
            self._layout, known, integrates=self._policy.integrates, was_saved=was_saved
        )

    # --- good

    def _good(self, verdict: Verdict) -> Answer:
        refuse_during_restore(self._layout)  # one that began while we looked
        if self._may_write:
            told = "; ".join(verdict.doubts)
            if told != self._record.told:
                record_check(self._layout, verdict, "", self._times())
            try:
                now = self._context.clock.now()
                remember_good(self._layout, self._record, verdict.seen, now, told)
            except OSError as error:
                self._remarks.append(
                    f"this look could not be remembered in {self._logs}: {error.strerror}"
                )
        return self._answer(Exit.DONE, verdict)

    # --- damaged

    def _restore(self, verdict: Verdict) -> Answer:
        policy = self._policy
        try:
            if policy.destination is None:
                raise policy.problem or DestinationError("the backup folder is not known")
            wish = LogWish(
                LogMode.CURRENT,
                self._context.zone,
                self._layout,
                (),
                policy.integrates,
                policy.strictness,
            )
            brought = restore_automatically(
                self._layout,
                policy.destination,
                wish,
                self._told,
                self._look,
                lambda done: record_restored(self._layout, verdict, done, self._times()),
            )
        except EngineError as error:
            if error.exit_code is Exit.LOCKED:
                damage = "; ".join(verdict.damage)
                error.hint = f"start the application again when it has ended: {self._layout.data_file} is damaged: {damage}"
                raise
            return self._failed(verdict, error)
        if brought is None:
            self._remarks.append("it was damaged, and another process has just restored it")
            return self._good(self._look())
        done = Exit.DONE if policy.restarts else Exit.RESTORED
        hint = "" if policy.restarts else "the data was restored; start the application again"
        return self._answer(done, verdict, brought=brought, hint=hint)

    def _failed(self, verdict: Verdict, error: EngineError) -> Answer:
        self._tell_once(
            str(error),
            lambda: record_failed(
                self._layout, verdict, self._policy.destination, error, self._times()
            ),
        )
        code = Exit.STOPPED if error.exit_code is Exit.STOPPED else Exit.FAILED
        return self._answer(code, verdict, error=error, hint=error.hint)

    # --- not restored

    def _explain(self, verdict: Verdict) -> Answer:
        if verdict.state is State.NOT_KNOWN:
            number, hint = None, _UNKNOWN
        else:
            number, hint = self._way_back()
        if self._may_write:
            told = "; ".join(verdict.damage)
            self._tell_once(told, lambda: record_check(self._layout, verdict, hint, self._times()))
        return self._answer(Exit.FAILED, verdict, hint=hint, set_number=number)

    def _way_back(self) -> tuple[int | None, str]:
        """The newest set that a person can restore from, and the words to do it."""
        is_known = self._record.look is not None
        sets = sets_at(self._policy, self._layout)
        for stored in reversed(sets):
            with suppress(EngineError, OSError):
                held = data_in_set(stored.folder)
                if judge_set_data(held.found, is_header_known=is_known) is None:
                    when = time_words(stored.facts.started, self._context.zone)
                    chosen = "" if stored is sets[-1] else f" --set {stored.number}"
                    package = shlex.quote(str(self._layout.package))
                    line = f"backup4d restore {package}{chosen} --in-place --part data"
                    return stored.number, f"set {stored.number} of {when} can be restored: {line}"
        problem = self._policy.problem
        why = "" if problem is None else f": {problem}"
        return (
            None,
            f"no set of this database was found{why}; backup4d restore also takes the folder of a set",
        )

    def _tell_once(self, text: str, tell: Callable[[], None]) -> None:
        record = load_record(self._logs)
        if record.told == text:
            return
        tell()
        with suppress(OSError):  # then it is told again at the next start
            save_record(self._logs, replace(record, told=text))

    def _times(self) -> Times:
        return Times(None, self._started, self._context.clock.now(), self._context.zone)

    def _answer(
        self,
        code: Exit,
        verdict: Verdict,
        *,
        brought: Brought | None = None,
        error: EngineError | None = None,
        hint: str = "",
        set_number: int | None = None,
    ) -> Answer:
        remarks = (*self._policy.notes, *self._remarks)
        number = set_number if brought is None else brought.stored.number
        return Answer(code, verdict, brought, error, hint, remarks, number)
