"""What is damaged: a file at its place in a story, what reads it, and what must hold afterwards."""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from engine.history import load_history
from tests.damage.child import Facts, Told, types
from tests.engine.stories import App, verified

_HERE, _TEMPLATE = "here", "template"


class Stage:
    """A story at its place; a copy of it is put back for every damage."""

    def __init__(
        self, app: App, folder: Path, file: Path, put_right: Callable[[], object] | None = None
    ) -> None:
        self.app = app
        self._put_right = put_right
        self.here = folder / _HERE
        self.template = folder / _TEMPLATE
        self.file = file
        self.turn = 0
        shutil.copytree(self.here, self.template, symlinks=True)

    def reset(self, *, for_nobody: tuple[int, int] | None = None) -> None:
        """Everything as it was; owned by somebody else when asked."""
        self.turn += 1
        shutil.rmtree(self.here)
        shutil.copytree(self.template, self.here, symlinks=True)
        if self._put_right is not None:  # what a copy cannot keep
            self._put_right()
        if for_nobody is not None:
            for folder, _, names in os.walk(self.here):
                os.chown(folder, *for_nobody)
                for name in names:
                    os.chown(Path(folder) / name, *for_nobody, follow_symlinks=False)

    @cached_property
    def content(self) -> bytes:
        """The file as it was."""
        return self.then(self.file).read_bytes()

    def then(self, path: Path) -> Path:
        """The same path in the story before."""
        return self.template / path.relative_to(self.here)

    def types(self, *words: str | Path) -> Facts:
        """A command with this story's own service file and state folder."""
        places: list[str | Path] = [
            "--service-file",
            self.here / "service.xml",
            "--state-folder",
            self.here / "state",
        ]
        return types(*places, *words)


@dataclass(frozen=True, slots=True)
class Kind:
    """One file: how its story is made, what is done with it damaged, in a child, and what must hold.

    `judge` raises AssertionError, and returns in a word what came of it.
    """

    name: str
    make: Callable[[Path], Stage]
    act: Callable[[Stage], Facts]
    judge: Callable[[Stage, Told], str]


def digests(folder: Path) -> dict[str, str]:
    """Every plain file below a folder, by its path there; of other things, what they are."""
    found: dict[str, str] = {}
    for here, folders, names in os.walk(folder):
        for name in [*names, *(one for one in folders if (Path(here) / one).is_symlink())]:
            file = Path(here) / name
            path = str(file.relative_to(folder))
            if file.is_symlink() or not file.is_file() or file.stat().st_size > 64 << 20:
                found[path] = "something else"
            elif not os.access(file, os.R_OK):
                found[path] = "not readable"
            else:
                found[path] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def backs_up(
    stage: Stage, *before: tuple[str, ...], in_turn: tuple[tuple[str, ...], ...] = ()
) -> Facts:
    """These commands on the database, one of those that take turns, and then a backup."""
    package = stage.app.package
    turn = in_turn[stage.turn % len(in_turn)] if in_turn else None
    printed = [stage.types(*words, package) for words in (*before, *([turn] if turn else []))]
    backup = stage.types("backup", package)
    return {"printed": printed, "backup": backup}


def said(told: Told) -> str:
    """All that was printed."""
    facts: dict[str, Any] = told.facts
    rows = [*facts.get("printed", []), *([facts["backup"]] if "backup" in facts else [])]
    return "\n".join(row["text"] for row in rows)


def judge_sets(
    stage: Stage, told: Told, *, may_go: frozenset[str] = frozenset({"data[0001]"})
) -> str:
    """Nothing that was good is lost or changed, nothing is overwritten, what is new is good."""
    assert not told.fault, told.fault
    app = stage.app
    old = {
        entry.name for entry in stage.then(app.destination).iterdir() if entry.name.endswith("]")
    }
    now = set(app.sets())
    new = now - old
    assert len(new) <= 1, new
    gone = old - now
    assert gone <= (may_go if new else frozenset()), f"sets are gone: {sorted(gone)}"
    for name in old & now:
        was, is_ = (
            digests(folder / name) for folder in (stage.then(app.destination), app.destination)
        )
        differing = {path for path in {*was, *is_} if was.get(path) != is_.get(path)}
        touched = (
            {str(stage.file.relative_to(app.destination / name))} if _is_in(stage, name) else set()
        )
        assert {path.split("/inside")[0] for path in differing} <= touched, (
            f"{name} is changed: {sorted(differing)}"
        )
    _judge_application(stage)
    is_published = told.facts.get("backup", {}).get("code") in {0, 3}
    if not is_published:
        return "refused"
    assert new, "a backup that was told as done shows no set"
    (name,) = new
    assert name > max(old), f"{name} is not after {max(old)}"
    verdict = verified(app.destination / name)
    assert verdict.good, verdict.damage
    return "went on"


def judge_history(stage: Stage) -> None:
    """After a backup that was done, the history can be read and names the sets there are."""
    app = stage.app
    loaded = load_history(app.destination)
    assert loaded.damage is None, loaded.damage
    # one whose path was lost is kept as somebody else's
    records = [one for one in loaded.document[app.layout.key] if "backupPath" in one]
    named = {Path(str(one["backupPath"])).parent.name for one in records}
    assert set(app.sets()) - named <= {stage.file.parent.name}, (sorted(named), app.sets())


def _is_in(stage: Stage, name: str) -> bool:
    return stage.file.is_relative_to(stage.app.destination / name)


def _judge_application(stage: Stage) -> None:
    was, now = (digests(folder) for folder in (stage.then(stage.app.package), stage.app.package))
    touched = (
        {stage.file.relative_to(stage.app.package)}
        if stage.file.is_relative_to(stage.app.package)
        else set()
    )
    names = {path for path in {*was, *now} if not path.startswith("Logs/")}
    differing = {path for path in names if was.get(path) != now.get(path)}
    allowed = {str(one) for one in touched} | {f"{one}/inside" for one in touched}
    assert differing <= allowed, f"the application is changed: {sorted(differing)}"
