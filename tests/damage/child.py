"""A child that does something with damaged files, within bounds of time and memory."""

import encodings.utf_8_sig  # noqa: F401 - nobody may not read where it lies
import io
import json
import os
import pwd
import resource
import select
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from scheduler import (  # noqa: F401 - commands are imported late; a thousand children share what is there
    commands_backup,
    commands_browse,
    commands_opencheck,
    commands_repair,
    commands_restore,
    commands_schedule,
    commands_service,
    commands_sets,
    commands_settings,
)
from scheduler.cli import main
from settings.errors import SettingsError

MOST_SECONDS = 90
MOST_MEMORY_KIB = 700 << 10
NOBODY = "nobody"

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """What a child left behind: `facts` of its deed, or `fault` when it broke a bound or let out a traceback."""

    facts: Facts
    fault: str


def in_child(act: Callable[[], Facts], *, as_nobody: bool = False) -> Told:
    """Do it in a fork; a child that hangs is killed."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        _do(act, writing, as_nobody=as_nobody)
    os.close(writing)
    try:
        data = _read_until(reading, MOST_SECONDS)
    finally:
        os.close(reading)
    if data is None:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        return Told({}, f"it hangs: nothing came within {MOST_SECONDS} seconds")
    _, status = os.waitpid(process, 0)
    if not data:
        return Told({}, f"it died: {os.waitstatus_to_exitcode(status)}")
    row = json.loads(data)
    if row["memory"] > MOST_MEMORY_KIB:
        return Told(row["facts"], f"it took {row['memory'] >> 10} MiB of memory")
    return Told(row["facts"], row["fault"])


def _do(act: Callable[[], Facts], writing: int, *, as_nobody: bool) -> None:
    """Does not return."""
    row: Facts = {"facts": {}, "fault": "", "memory": 0}
    # the service's log: what people are told is told apart
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        if as_nobody:
            found = pwd.getpwnam(NOBODY)
            os.setgroups([])
            os.setgid(found.pw_gid)
            os.setuid(found.pw_uid)
        try:
            row["facts"] = act()
        except (EngineError, SettingsError) as error:
            row["facts"] = {"refused": f"{type(error).__name__}: {error}"}
    except BaseException:  # noqa: BLE001 - a child tells whatever happens
        row["fault"] = traceback.format_exc()[-3000:]
    row["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with os.fdopen(writing, "wb") as stream:
        stream.write(json.dumps(row, default=str).encode())
    os._exit(0)


def _read_until(reading: int, seconds: int) -> bytes | None:
    data = b""
    while True:
        ready, _, _ = select.select([reading], [], [], seconds)
        if not ready:
            return None
        part = os.read(reading, 1 << 20)
        if not part:
            return data
        data += part


def types(*words: str | Path) -> Facts:
    """One command in this process: its exit code and all it printed. Only for children."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    kept, sys.argv = sys.argv, ["backup4d", *map(str, words)]
    code: object = None
    with redirect_stdout(out), redirect_stderr(out):
        try:
            main()
        except SystemExit as left:
            code = left.code
        finally:
            sys.argv = kept
    raw = out.buffer
    assert isinstance(raw, io.BytesIO)
    text = raw.getvalue().decode(errors="replace")
    assert "Traceback" not in text, text
    assert "mistake in backup4d" not in text, text
    assert isinstance(code, int), text
    assert code == 0 or text.strip(), f"{words} ended with {code} and without a word"
    return {"words": " ".join(str(word) for word in words[-3:]), "code": code, "text": text}
