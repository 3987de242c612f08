"""Faults planted into the program on purpose, in the sweeping process only: a sweep that misses one is no proof."""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import engine.backup
import engine.history
import engine.journal
import engine.livelog
import engine.lock
import engine.publishing
import engine.setwriter
import engine.streamer
import engine.streampiece
import scheduler.state
import settings.writeback
from engine.files import fsync_folder
from engine.output import Output
from engine.plan import plan_backup
from engine.sets import plan_rotation, show_set
from engine.streamledger import Entry, render_line
from engine.streamsight import Sight

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
# flushes of paths with this text do nothing; found only where the power goes
LIES: Mapping[str, str] = {
    "archives are not flushed": ".tar.zst",
    "the manifest is not flushed": "manifest.json",
    "the history is not flushed": "backupHistory.json.part",
    "what the lock says is not flushed": ".backup4d.lock",
    "what is shipped of a log is not flushed": "0001.journal",
    "what is told of a log is not flushed": "0001.ledger",
}


def _show_before_papers() -> None:
    """The set appears, and its manifest is written into it afterwards."""
    write_papers = engine.setwriter._write_papers
    kept: list[Any] = []

    def show(staging: Path, folder: Path) -> None:
        show_set(staging, folder)
        job, *others = kept.pop()
        write_papers(replace(job, staging=folder), *others)

    def keep(*arguments: Any) -> None:
        job, facts, archives, spool = arguments
        spool.seek(0)
        copy = os.fdopen(os.dup(spool.fileno()), "rb")
        kept.append((job, facts, archives, copy))

    _plant(engine.setwriter, _write_papers=keep)
    _plant(engine.publishing, show_set=show)


def _erase_first() -> None:
    """Old sets go before the new one is there, although nobody asked for that."""

    def plan(inventory: Any, values: Any, **others: Any) -> Any:
        made = plan_backup(inventory, values, **others)
        return replace(
            made, remove_before=plan_rotation(inventory.sets, values.rotation, coming=True)
        )

    _plant(engine.backup, plan_backup=plan)


@contextmanager
def _in_place(target: Path, **_: Any) -> Any:
    with target.open("wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


def _history_in_place() -> None:
    _plant(engine.history, replacing=_in_place)


def _state_in_place() -> None:
    _plant(scheduler.state, replacing=_in_place)


def _settings_in_place() -> None:
    def replace_file(file: Path, _: bytes, changed: bytes) -> None:
        stream: BinaryIO
        with file.open("wb", buffering=0) as stream:
            stream.write(changed[:100])
            stream.write(changed[100:])

    _plant(settings.writeback, replace_file=replace_file)


def _torn_entries_stay_open() -> None:
    _plant(engine.journal, _closing=lambda *_: b"")


def _nothing_is_noted() -> None:
    _plant(engine.lock.Lock, note=lambda *_: None)


def _second_flush_counts() -> None:
    """A failed flush is tried again, and the kernel, which has forgotten the lost pages, says 0."""
    flush = os.fsync

    def flush_again(descriptor: int) -> None:
        try:
            flush(descriptor)
        except OSError:
            flush(descriptor)

    _plant(os, fsync=flush_again)


def _failures_are_passed_over() -> None:
    """What could not be written of an archive does not end the backup."""
    write = Output.write

    def write_some(output: Any, data: Any) -> None:
        try:
            write(output, data)
        except OSError:
            return

    _plant(Output, write=write_some)


def _doubtful_names_stay() -> None:
    """A set whose name may not survive a power cut stays, although the backup is said to have failed."""

    def show(staging: Path, folder: Path) -> None:
        staging.rename(folder)
        fsync_folder(folder.parent)

    _plant(engine.publishing, show_set=show)


def _records_are_written_once() -> None:
    """A short write of what the lock says is not noticed."""

    def write(self: Any, record: Any, offset: int) -> None:
        text = b"" if record is None else json.dumps(record).encode("ascii")
        os.pwrite(self.descriptor, text.ljust(1 << 15), offset)
        os.fsync(self.descriptor)

    _plant(engine.lock.Lock, _write=write)


def _any_log_is_the_same() -> None:
    """What is new in a log is appended to whatever was shipped before."""
    _plant(engine.streamer, judge=lambda *_: Sight.SAME)
    _plant(engine.livelog.Held, holds=lambda *_: True)


def _told_before_it_is_there() -> None:
    """The ledger tells of bytes that are written afterwards."""
    copy = engine.streampiece.Piece._copy

    def later(self: Any, data: int, end: int, read: Any) -> Any:
        blank = copy(self, data, end, lambda _, count: bytes(count))
        entry = Entry(self._start, end, blank.hexdigest(), 1, BEGAN)
        with Path(f"/proc/self/fd/{data}").readlink().with_suffix(".ledger").open("ab") as told:
            told.write(render_line(entry))
        return copy(self, data, end, read)

    _plant(engine.streampiece.Piece, _copy=later)


def _plant(where: Any, **names: Any) -> None:
    for name, value in names.items():
        if not hasattr(where, name):
            raise AttributeError(f"{where} has no {name} any more: nothing would be planted")
        setattr(where, name, value)


PLANTED: Mapping[str, Callable[[], None]] = {
    "shown before its papers are written": _show_before_papers,
    "old sets erased first": _erase_first,
    "history written in place": _history_in_place,
    "state written in place": _state_in_place,
    "settings written in place": _settings_in_place,
    "torn entries stay open": _torn_entries_stay_open,
    "nothing is noted": _nothing_is_noted,
    "a second flush counts": _second_flush_counts,
    "failures are passed over": _failures_are_passed_over,
    "doubtful names stay": _doubtful_names_stay,
    "records are written once": _records_are_written_once,
    "any log is the same": _any_log_is_the_same,
    "shipped bytes are told before they are there": _told_before_it_is_there,
}
