"""What the stories about one served database are told with: a real application on the disk, and the time passed in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scheduler.decide import Decision, Run
from scheduler.known import Known
from scheduler.outcomes import Ending, Failed, Published
from scheduler.recall import Host
from scheduler.served import Served
from scheduler.state import State, load_state, state_file
from settings.paths import PathMap
from settings.service_model import ServedDatabase
from tests.engine.stories import App, make_app
from tests.fakes import StoryClock
from tests.scheduler.stories import PARIS, at, brief

FREQUENCY = "Scheduler/Frequency"
HOUR = "Scheduler/Daily/Hour"
AFTER_FAILURE = "Advanced/BackupFailure/TryToBackupAfter"
NEXT_SLOT = "Advanced/BackupFailure/TryBackupAtTheNextScheduledDate"
LIMITED = "Advanced/BackupFailure/AbortIfBackupFail"
ATTEMPTS = "Advanced/BackupFailure/RetryCountBeforeAbort"

NIGHTLY_XML = {FREQUENCY: "Daily", "Scheduler/Daily/Every": "1", HOUR: "02:30:00"}
RETRY_XML = {AFTER_FAILURE: "00:01:00"}
LIMITED_XML = {LIMITED: "True", ATTEMPTS: "2"}
NO_DISK = Failed(1407, 1, "the backup folder is not there", "mount it")
STOPPED = Failed(1406, 130, "stopped by the user", "")


@dataclass
class Story:
    """One database, what the service knows of it, and its life from start to restart."""

    app: App
    state_folder: Path
    served: Served = field(init=False)

    def __post_init__(self) -> None:
        self.served = self._fresh()

    def _fresh(self) -> Served:
        host = Host(self.state_folder, PARIS, PathMap())
        return Served(ServedDatabase(self.app.package, None), host)

    def restart(self) -> "Story":
        """The process is gone; a new one knows only what lies on the disk."""
        self.served = self._fresh()
        return self

    def look(self, now: str) -> Decision | None:
        """One heartbeat."""
        self.served.refresh(at(now))
        return self.served.decide(at(now))

    def sees(self, now: str) -> str:
        """One heartbeat, in short words."""
        decision = self.look(now)
        return "nothing known" if decision is None else brief(decision)

    def begins(self, now: str) -> Run:
        """A heartbeat that starts a run."""
        decision = self.look(now)
        assert isinstance(decision, Run), decision
        self.served.begin(decision, at(now))
        return decision

    def runs(self, now: str, ending: Ending) -> None:
        """A run that begins now and ends at once."""
        self.begins(now)
        self.served.finished(ending, at(now))

    def fails(self, now: str) -> None:
        self.runs(now, NO_DISK)

    def publishes(self, now: str, *, slot: str | None) -> Published:
        """A set appears, whoever made it."""
        outcome = self.app.backup(
            scheduled=None if slot is None else at(slot), clock=StoryClock(at(now))
        )
        assert outcome.facts is not None
        return Published(outcome.facts.number, str(outcome.folder), 0, "complete", ())

    @property
    def known(self) -> Known:
        assert self.served.known is not None
        return self.served.known

    @property
    def state_file(self) -> Path:
        return state_file(self.state_folder, self.app.data_file)

    def remembered(self) -> State:
        """What a restart would find."""
        state = load_state(self.state_file)
        assert state is not None
        return state

    def entries(self, title: str) -> list[str]:
        """The Backup journal's entries of one kind."""
        blocks = self.app.journal().split("\n\n")
        return [block for block in blocks if f"*** {title}" in block]


def nightly(folder: Path, changes: Mapping[str, str] | None = None) -> Story:
    """A database with a backup every night at 02:30 and a retry after a minute; nobody has looked at it yet."""
    app = make_app(folder, {**NIGHTLY_XML, **RETRY_XML, **(changes or {})})
    return Story(app, folder / "state")


def watched(folder: Path, changes: Mapping[str, str] | None = None) -> Story:
    """The same under a service that started on the tenth at noon."""
    story = nightly(folder, changes)
    story.look("10 12:00")
    return story


def reconfigure(story: Story, changes: Mapping[str, str]) -> None:
    story.app.configure({**NIGHTLY_XML, **RETRY_XML, **changes})


def break_settings(story: Story, content: bytes = b"<Preferences4D><Backup>") -> Path:
    """An edit that left half a file."""
    file = story.app.package / "Settings" / "backup.4DSettings"
    file.write_bytes(content)
    return file
