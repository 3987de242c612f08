"""What people type meanwhile: commands beside the services, each judged by its end, its words and what it made."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.scheduler.accounts import entries
from tests.scheduler.real import PROGRAM
from tests.soak.ledger import attempts_in
from tests.soak.world import HOURS, Home, World

_PATIENCE = 150.0
_EXITS = frozenset({0, 1, 2, 3, 4, 5, 6, 130})
_BAD_WORDS = ("Traceback", "mistake in backup4d", "Exception")
_STOPPED = 1406
_THINGS = [
    *("restore", "verify", "status", "status") * 2,
    "list",
    "schedule",
    "missed",
    "show",
    "drill",
]
_THINGS += ["open-check", "backup", "via-service", "settings", "repair"]


@dataclass
class Typed:
    """A command that is on."""

    what: str
    home: Home
    process: subprocess.Popen[bytes]
    output: Path
    since: float
    rounds: int
    is_calm: bool
    journal: str
    judge: Callable[["Typed", int, str], str | None]
    target: Path | None = None
    chosen: Path | None = None

    def is_undisturbed(self) -> bool:
        """Whether nothing was done to the database before and while it ran."""
        return self.is_calm and self.home.rounds == self.rounds and not self.home.troubles


@dataclass
class People:
    """They type one thing after the other; `failures` is what they must not see."""

    world: World
    failures: list[str]
    on: list[Typed] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    restored: int = 0
    verified: int = 0
    judged: int = 0
    _number: int = 0

    def type_something(self) -> None:
        """One command, drawn by lot, on a database drawn by lot."""
        home = self.world.chance.choice(self.world.homes)
        what = self.world.chance.choice(_THINGS)
        self.type(what, home)

    def ask_about_failures(self) -> None:
        """Whoever's last attempt failed asks how he does: that must be told, whatever is wrong else."""
        for home in self.world.homes:
            attempts = attempts_in(list(entries(_journal(home))))
            if attempts and attempts[-1].error not in (0, _STOPPED) and len(self.on) < 4:
                self.type("status", home)

    def type(self, what: str, home: Home) -> None:
        """Start it; it is judged when it has ended."""
        sets = home.sets()
        chosen = self.world.chance.choice(sets) if sets else home.app.package
        self._number += 1
        target = self.world.scratch / f"restored {self._number}"
        words = self._words(what, str(home.app.package), str(chosen), str(target))
        match what:
            case "restore":
                self._start(what, home, words, self._judge_restore, target=target, chosen=chosen)
            case "verify":
                self._start(what, home, words, self._judge_verify, chosen=chosen)
            case "status":
                self._start(what, home, words, self._judge_status)
            case _:
                self._start(what, home, words)

    def _words(self, what: str, package: str, chosen: str, target: str) -> list[str]:
        now = self.world.clock.now()
        table = {
            "restore": ["restore", chosen, "--to", target],
            "verify": ["verify", chosen],
            "status": ["status", "--json", package],
            "missed": ["schedule", "--missed-since", f"{now - 9 * HOURS:%Y-%m-%d %H:%M}", package],
            "show": ["show", "--tree", chosen],
            "open-check": ["open-check", "--no-restore", package],
            "drill": ["drill", "--scratch", str(self.world.scratch), package],
            "via-service": ["backup", "--via-service", package],
            "settings": ["settings", "check", package],
            "pause": ["pause", "--until", f"{now + 3 * HOURS:%Y-%m-%d %H:%M}", package],
        }
        return table.get(what, [what, package])

    def _start(
        self,
        what: str,
        home: Home,
        words: list[str],
        judge: Callable[[Typed, int, str], str | None] | None = None,
        target: Path | None = None,
        chosen: Path | None = None,
    ) -> None:
        post = self.world.post_of(home)
        output = self.world.root / f"said {self._number}"
        command = [*self.world.as_user, *PROGRAM, *post.options(), *words]
        with output.open("wb") as stream:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=self.world.environment(),
            )
        self.counts[what] = self.counts.get(what, 0) + 1
        self.on.append(
            Typed(
                " ".join(words),
                home,
                process,
                output,
                time.monotonic(),
                home.rounds,
                not home.troubles and chosen not in home.damaged,
                _journal(home),
                judge or _judge_nothing,
                target,
                chosen,
            )
        )

    def look(self) -> None:
        """Judge those that have ended; end those that never do."""
        for typed in list(self.on):
            code = typed.process.poll()
            if code is None:
                if time.monotonic() - typed.since > _PATIENCE:
                    self._hangs(typed)
                continue
            self.on.remove(typed)
            said = typed.output.read_text("utf-8", "replace")
            typed.output.unlink()
            self._judge(typed, code, said)

    def _judge(self, typed: Typed, code: int, said: str) -> None:
        complaint: str | None = None
        if any(word in said for word in _BAD_WORDS) or code not in _EXITS:
            complaint = "it did not end as a command ends"
        try:
            complaint = complaint or typed.judge(typed, code, said)
        finally:
            if typed.target is not None:
                shutil.rmtree(typed.target, ignore_errors=True)
        if complaint is not None:
            self.failures.append(f"{typed.what}: {complaint}; exit {code}: {said[-1500:]}")

    def _hangs(self, typed: Typed) -> None:
        self.on.remove(typed)
        with suppress(ProcessLookupError):
            os.kill(typed.process.pid, signal.SIGABRT)
        with suppress(subprocess.TimeoutExpired):
            typed.process.wait(10)
        said = typed.output.read_text("utf-8", "replace")
        self.failures.append(f"{typed.what}: no end after {_PATIENCE} s: {said[-3000:]}")

    def wait_for_all(self) -> None:
        """Until everybody has his answer."""
        while self.on:
            self.look()
            time.sleep(0.05)

    # --- judging what ended

    def _judge_restore(self, typed: Typed, code: int, said: str) -> str | None:
        target = typed.target
        assert target is not None
        if code == 0:
            self.restored += 1
            strangers = typed.home.sources.strangers(target)
            return f"these files were never like that: {strangers}" if strangers else None
        if target.exists():
            return "it failed, and something is left of it"
        return _judge_refusal(typed)

    def _judge_verify(self, typed: Typed, code: int, said: str) -> str | None:
        damage = None if typed.chosen is None else typed.home.damaged.get(typed.chosen)
        if damage is not None and code == 0 and typed.home.rounds == typed.rounds:
            return f"the set is damaged ({damage}), and it says nothing"
        if code == 0:
            self.verified += 1
            return None
        return _judge_refusal(typed)

    def _judge_status(self, typed: Typed, code: int, said: str) -> str | None:
        """It must not say that all is well when the last attempt failed, nor name a failure that is over."""
        home = typed.home
        journal = _journal(home)
        if journal != typed.journal or code not in (0, 1):
            return None
        row = json.loads(said)["databases"][0]
        attempts = attempts_in(list(entries(journal)))
        if not attempts or row["running"] is not None:
            return None
        self.judged += 1
        last = attempts[-1]
        has_failed = last.error not in (0, _STOPPED)
        # with a damaged state nobody remembers a run that was killed with its service: that is said then
        telling = (str(last.error), "the service's state cannot be read")
        is_told = code == 1 and any(
            any(word in words for word in telling) for words in row["trouble"]
        )
        if has_failed and row["last"] is not None and not is_told:
            return f"the last attempt ended with error {last.error}, and nobody is told: {row}"
        if (
            not has_failed
            and typed.is_undisturbed()
            and row["last"] is not None
            and row["last"]["code"] not in (0, _STOPPED)
        ):
            return f"the last attempt was good ({last}), and {row['last']} is told"
        return None


def _journal(home: Home) -> str:
    try:
        return home.app.journal()
    except OSError:
        return ""


def _judge_nothing(_typed: Typed, _code: int, _said: str) -> str | None:
    """How it ends depends on what is done to the database meanwhile; that it ends well-behaved is judged for all."""
    return None


def _judge_refusal(typed: Typed) -> str | None:
    """Nothing but trouble, a damaged set, or one that rotation has removed meanwhile, may be a reason."""
    chosen = typed.chosen
    if chosen is None or chosen in typed.home.damaged or chosen == typed.home.app.package:
        return None
    if not typed.is_undisturbed() or not chosen.exists():
        return None
    return "nothing was done to this set, and it cannot be used"
