"""What must hold all the time and at the end: sets whole and true, older ones unharmed, records right, nothing left over."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import EngineError
from engine.history import load_history
from engine.lock import DATABASE_LOCK, DESTINATION_LOCK
from engine.manifest import MANIFEST, read_set_facts
from engine.openrecord import RECORD
from tests.engine.stories import restored, verified
from tests.scheduler.real import PROGRAM
from tests.soak.ledger import journal_faults
from tests.soak.world import Home, World

_ON_THE_WAY = ("full", "read-only", "unmounted", "renamed away")
_STAYS = {DATABASE_LOCK, DESTINATION_LOCK, RECORD, "restore.py"}
_LARGE = 4 << 20

Print = dict[str, tuple[int, int]]


@dataclass
class Judge:
    """Looks at the sets again and again; `failures` is shared with everybody who finds something."""

    world: World
    failures: list[str]
    prints: dict[Path, Print] = field(default_factory=dict)
    verified: int = 0
    restored: int = 0
    gone: int = 0
    _looked: int = 0

    def look(self) -> None:
        """What one can see is whole and true when it is new, and what it was when it is old."""
        for home in self.world.homes:
            if any(trouble.startswith(_ON_THE_WAY) for trouble in home.troubles):
                continue
            seen = home.sets()
            for folder in seen:
                if folder not in home.damaged:
                    self._look_at(home, folder)
            self._miss(home, seen)

    def _look_at(self, home: Home, folder: Path) -> None:
        if (known := self.prints.get(folder)) is None:
            self._meet(home, folder)
        elif (now := _fingerprint(folder)) != known and folder.exists():
            self.failures.append(f"{folder} was {known} and is {now}")
            self.prints[folder] = now

    def _meet(self, home: Home, folder: Path) -> None:
        """A set that was not there before."""
        self.prints[folder] = _fingerprint(folder)
        try:
            complaint = self._try_out(home, folder)
        except (EngineError, OSError) as error:
            complaint = str(error)
        if complaint and folder.exists():
            self.failures.append(f"{folder} is seen and not good: {complaint}")
        if not folder.exists():  # rotation was quicker
            del self.prints[folder]

    def _try_out(self, home: Home, folder: Path) -> str:
        self.verified += 1
        verdict = verified(folder)
        if not verdict.good:
            return f"{verdict.damage}"
        if sum(size for size, _ in self.prints[folder].values()) > _LARGE and self.restored % 5:
            self.restored += 1
            return ""
        return self.restore(home, folder)

    def restore(self, home: Home, folder: Path) -> str:
        """Restore it and compare each file with all states the source ever had."""
        self._looked += 1
        target = self.world.scratch / f"judged {self._looked}"
        try:
            restored(folder, target)
            self.restored += 1
            strangers = home.sources.strangers(target)
            return f"these files were never like that: {strangers}" if strangers else ""
        finally:
            shutil.rmtree(target, ignore_errors=True)

    def _miss(self, home: Home, seen: list[Path]) -> None:
        """A set goes only when a newer one is there."""
        mine = [folder for folder in self.prints if folder.parent == home.app.destination]
        for folder in mine:
            if folder in seen or folder.exists():
                continue
            del self.prints[folder]
            self.gone += 1
            if not any(other.name > folder.name for other in home.sets()):
                self.failures.append(f"{folder} is gone, and nothing newer is there")
            if "set damaged" not in home.troubles and (older := passed_over(folder, seen)):
                self.failures.append(f"{folder} is gone, and older ones are left: {older}")

    # --- at the end

    def judge_end(self, broken_states: int) -> None:
        """Everything once more, when nothing is on any more."""
        self.look()
        for home in self.world.homes:
            journal = home.app.journal()
            self._add(home, journal_faults(journal))
            self._add(home, _history_faults(home))
            self._add(home, self._verify_faults(home))
            for folder in home.sets():
                complaint = self.restore(home, folder)
                self._add(home, [f"{folder.name}: {complaint}"] if complaint else [])
            self._add(home, [] if home.sets() else ["there is no set"])
        for post in self.world.posts:
            aside = list(post.state_folder.glob("*unusable*"))
            if len(aside) > broken_states:
                self.failures.append(f"{post.name}: states were set aside: {aside}")
            words = post.words.read_text("utf-8", "replace")
            for bad in ("Traceback", "mistake in backup4d", "Fatal Python error"):
                if bad in words:
                    at = words.index(bad)
                    self.failures.append(f"{post.name} says {words[max(0, at - 500) : at + 3000]}")

    def _add(self, home: Home, faults: Iterable[str]) -> None:
        self.failures += [f"{home.name}: {fault}" for fault in faults]

    def _verify_faults(self, home: Home) -> list[str]:
        """The program's own word for all sets."""
        post = self.world.post_of(home)
        command = [*self.world.as_user, *PROGRAM, *post.options(), "verify", "--json"]
        done = subprocess.run(
            [*command, str(home.app.package)],
            capture_output=True,
            env=self.world.environment(),
            timeout=300,
            check=False,
        )
        if done.returncode:
            return [f"verify ends with {done.returncode}: {(done.stdout + done.stderr)[-2000:]!r}"]
        count = len(json.loads(done.stdout))
        return [] if count == len(home.sets()) else [f"verify knows {count} sets"]

    def leftovers(self) -> list[str]:
        """Temporary files and hidden work, anywhere."""
        found = [str(path) for path in self.world.scratch.iterdir()]
        found += [str(path) for path in self.world.temporary.iterdir()]
        folders = [home.app.package for home in self.world.homes]
        folders += [home.app.destination for home in self.world.homes]
        folders += [post.state_folder for post in self.world.posts]
        return found + [str(path) for folder in folders for path in _strange_names(folder)]


def _strange_names(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            is_strange = name.startswith(".") or name.endswith((".part", ".tmp", "~", ".new"))
            if is_strange and name not in _STAYS:
                yield Path(here) / name


def _fingerprint(folder: Path) -> Print:
    """Names, sizes and times of what is in a set, and the digest of its manifest as a size of its own."""
    found: Print = {}
    try:
        for entry in folder.iterdir():
            facts = entry.stat()
            found[entry.name] = (facts.st_size, facts.st_mtime_ns)
        digest = hashlib.sha256((folder / MANIFEST).read_bytes()).digest()
        found["digest"] = (int.from_bytes(digest[:8], "big"), 0)
    except OSError:  # it is being removed at this moment
        return {}
    return found


def passed_over(gone: Path, there: list[Path]) -> list[str]:
    """Older sets that rotation should have removed first; the newest complete one may be any."""
    facts = {}
    for folder in there:
        with suppress(EngineError):  # just removed
            facts[folder.name] = read_set_facts(folder)
    newest = max((name for name, one in facts.items() if one.complete), default="")
    return [name for name in facts if name < gone.name and name != newest]


def _history_faults(home: Home) -> list[str]:
    loaded = load_history(home.app.destination)
    if loaded.damage is not None:
        return [f"the history: {loaded.damage}"]
    records = loaded.document.get(home.app.layout.key, [])
    numbers = [record["backupNumber"] for record in records]
    there = [read_set_facts(folder).number for folder in home.sets()]
    return [] if numbers == there else [f"the history knows {numbers}, {there} are there"]
