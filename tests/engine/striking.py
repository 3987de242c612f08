"""A restore in place that dies, really, or meets a failing disk, at each change of a name and each flush it makes.

    LD_PRELOAD=strike.so python -m tests.engine.striking FOLDER WAY [EVERY]

Makes an application in FOLDER, and for each step a copy of it in which a child of ours restores and is struck.
What the copy is then, at once and after the next operation, is printed as JSON. WAY is killed, killed-after or
an error number; EVERY takes only each n-th step.
"""

import ctypes
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.errors import EngineError
from tests.engine.place_stories import hidden_work, restore_in_place, traces
from tests.engine.stories import App, make_app, patterned, tree

_LIBRARY = ctypes.CDLL(None)
_COUNT, _KILLED, _KILLED_AFTER, _FAILING = 1, 2, 3, 4
_DAMAGE, _MISTAKE, _DONE = 3, 4, 0

State = dict[bytes, object]


def state(app: App) -> State:
    """The application but for journals, locks and what was put aside; times of folders move with what is in them."""
    found: State = {}
    for path, facts in tree(app.package).items():
        if path.startswith((b"Logs", b"Repl", b".backup4d-")):
            continue
        found[path] = facts if len(facts) > 4 else facts[:3]
    return found


@dataclass(frozen=True, slots=True)
class Stage:
    """The application before, and what it is with the set in place."""

    app: App
    old: State
    new: State

    def at(self, step: int) -> App:
        """A copy to be struck, at the path of the first: sets and settings know it."""
        folder = self.app.package.parent
        kept = folder.with_name("kept")
        shutil.rmtree(folder)
        shutil.copytree(kept, folder, symlinks=True)
        return self.app


def make_stage(folder: Path) -> Stage:
    app = make_app(folder / "work", attachments=("./Data/",))
    app.backup()
    new = state(app)
    app.data_file.write_bytes(patterned(4000, seed=2))
    (app.package / "Data" / "late.txt").write_text("late")
    shutil.rmtree(app.package / "Project" / "Sources")
    shutil.rmtree(app.package / "Settings")
    (app.package / "Settings").mkdir(mode=0o711)
    app.configure(attachments=("./Data/",))
    shutil.copytree(folder / "work", folder / "kept", symlinks=True)
    return Stage(app, state(app), new)


def in_child(act: Callable[[], object]) -> int:
    """How a child ended: its exit code, or minus the signal."""
    process = os.fork()
    if process == 0:
        code = _MISTAKE
        try:
            act()
            code = _DONE
        except EngineError:
            code = _DAMAGE
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def armed(app: App, mode: int, step: int, error: int) -> None:
    """Struck only below the package: the journal and the lock in it as well."""
    _LIBRARY.strike_arm(os.fsencode(app.package), mode, step, error)
    restore_in_place(app)


def count_steps(stage: Stage, folder: Path) -> int:
    app = stage.at(0)

    def act() -> None:
        armed(app, _COUNT, 0, 0)
        (folder / "count").write_text(str(_LIBRARY.strike_count()))

    assert in_child(act) == _DONE
    assert state(app) == stage.new
    return int((folder / "count").read_text())


def strike_each(folder: Path, way: str, every: int) -> Iterator[dict[str, object]]:
    stage = make_stage(folder)
    mode = {"killed": _KILLED, "killed-after": _KILLED_AFTER}.get(way, _FAILING)
    error = int(way) if mode == _FAILING else 0
    for step in range(1, count_steps(stage, folder) + 1, every):
        app = stage.at(step)
        code = in_child(lambda app=app, step=step: armed(app, mode, step, error))  # type: ignore[misc]
        at_once = named(stage, app)
        is_noted = traces(app) is not None
        next_code = in_child(app.backup)
        yield {
            "step": step,
            "code": code,
            "at_once": at_once,
            "is_noted": is_noted,
            "next_code": next_code,
            "afterwards": named(stage, app),
            "is_noted_afterwards": traces(app) is not None,
            "hidden": hidden_work(app.package),
            "lost": lost(stage, app),
            "asides": len(list(app.package.glob("Replaced*"))),
            "journal": app.journal().count("*** Restore"),
        }


def named(stage: Stage, app: App) -> str:
    now = state(app)
    return "old" if now == stage.old else "new" if now == stage.new else "neither"


def lost(stage: Stage, app: App) -> list[str]:
    """Files of the old application of which the bytes are nowhere any more."""
    there = {facts[-1] for facts in tree(app.package).values() if len(facts) > 5}
    old = {path: facts for path, facts in stage.old.items() if isinstance(facts, tuple)}
    return [
        os.fsdecode(path)
        for path, facts in old.items()
        if len(facts) > 5 and facts[-1] not in there
    ]


def main() -> None:
    folder, way, *every = sys.argv[1:]
    for row in strike_each(Path(folder), way, int(every[0]) if every else 1):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
