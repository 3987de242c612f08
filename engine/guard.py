"""The guard: an administrator's program that keeps the files as they are from before the first is read to after the last.

It says `ready`; it is told to let go by the end of its standard input, so that it lets go when we die, too.
"""

from dataclasses import replace

from engine.errors import Code, EngineError
from engine.hooks import MARGIN_SECONDS, Ended, Running, Told, describe, hint_for
from engine.progress import Progress
from engine.setwriter import Surroundings
from settings.service_model import Hook


class Guard:
    """A guard that is ready; `running` None stands for none, and then there is nothing to do.

    `may_clone`: what it holds still can be cloned. On a frozen file system a clone waits for the thaw, and nobody can
    kill who waits: a guard that was not told to let go because we cannot die would freeze it to its own limit.
    `notes` are lines for the journal, `warnings` what went wrong after the files were read.
    """

    def __init__(
        self, running: Running | None, around: Surroundings, *, may_clone: bool = True
    ) -> None:
        self.may_clone = may_clone
        self.notes: tuple[str, ...] = ()
        self.warnings: tuple[str, ...] = ()
        self._running = running
        self._around = around
        self._told = False

    @property
    def holds(self) -> bool:
        """Whether there is one, and it was not told to let go yet."""
        return self._running is not None and not self._told

    def watching(self, around: Surroundings) -> Surroundings:
        """The same surroundings; whoever reports there hears at once that the guard was lost."""
        if self._running is None:
            return around

        def report(progress: Progress) -> None:
            self._check()
            around.report(progress)

        return replace(around, report=report)

    def let_go(self) -> None:
        """Everything is read: tell the guard. Raises EngineError when it had ended before."""
        if self._running is None:
            return
        self._check()
        self._running.let_go()
        self._told = True
        heard = self._running.heard(MARGIN_SECONDS, self._around)
        if isinstance(heard, Ended):
            self._lost(heard)

    def end(self) -> None:
        """Wait until it has ended, within its time limit; also after a failure."""
        running, self._running = self._running, None
        if running is None:
            return
        running.let_go()
        heard: str | Ended = ""
        while not isinstance(heard, Ended):
            heard = running.heard(running.limit + MARGIN_SECONDS, self._around)
        self._note(heard)
        if not heard.good:
            words = heard.words(running.limit)
            self.warnings = (f"{running.name}, told to let go, {words}",)

    def _check(self) -> None:
        if self._running is None or self._told:
            return
        heard = self._running.heard_already()
        if isinstance(heard, Ended):
            self._lost(heard)

    def _lost(self, ended: Ended) -> None:
        running, self._running = self._running, None
        self._note(ended)
        assert running is not None  # noqa: S101 - somebody said that it ended
        running.let_go()
        raise EngineError(
            f"{running.name} {ended.words(running.limit)} while the files were read; "
            "the copy cannot be trusted",
            hint="it must live until its standard input ends; see what it wrote in the system's log",
        )

    def _note(self, ended: Ended) -> None:
        if ended.held is not None:
            self.notes = (f"Guard : held for {ended.held:.1f} s",)


def start_guard(hook: Hook | None, told: Told, around: Surroundings) -> Guard:
    """A guard that is ready; `end` must be called in any case. Raises EngineError, StoppedError."""
    if hook is None:
        return Guard(None, around)
    running, may_clone = _start(hook, told, around)
    return Guard(running, around, may_clone=may_clone)


def _start(hook: Hook, told: Told, around: Surroundings) -> tuple[Running, bool]:
    running = Running("guard", hook, describe(told, "guard"), told.zone)
    try:
        said = _wait_until_ready(running, around)
    except BaseException:
        running.let_go()
        raise
    return running, said == "ready to clone"


def _wait_until_ready(running: Running, around: Surroundings) -> str:
    running.show(around)
    heard = running.heard(running.limit + MARGIN_SECONDS, around)
    if not isinstance(heard, Ended):
        return heard
    around.stop.check()
    if heard.how == "not ready":
        raise EngineError(
            f"{running.name} was not ready within {running.limit:g} s",
            hint="it must write the line `ready` when it holds the files still; " + hint_for(heard),
            code=Code.SOURCE_NEVER_QUIET,
        )
    raise EngineError(
        f"{running.name} {heard.words(running.limit)} before it was ready", hint=hint_for(heard)
    )
