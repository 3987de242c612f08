"""A frozen sample on the disk again: every name in it leads to where it now lies, all else is as it was written."""

import hashlib
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from engine.machine import writer_tag
from engine.sets import database_tag
from scheduler.recall import Host
from scheduler.served import Served
from scheduler.state import State, load_state, state_file
from settings.paths import PathMap
from settings.service_model import ServedDatabase
from tests.engine.stories import App
from tests.fakes import StoryClock
from tests.upgrade.freeze import PREFIX, SAMPLES, STAGE

NAMES = sorted(file.name.removesuffix(".tar.xz") for file in SAMPLES.glob("*.tar.xz"))
_ARCHIVE = re.compile(r"\.(tar|journal)(\.zst)?(\.\d+)?$|\.4DD$|\.4DIndx$")


@dataclass(frozen=True, slots=True)
class Sample:
    """A thawed sample: the databases `kept` and `dead` of a release, and its state folder."""

    name: str
    root: Path

    def app(self, name: str, now: datetime | None = None) -> App:
        """One of the two; its clock stands a day after all that the sample tells of."""
        folder = self.root / name
        return App(folder / "app", folder / "backups", StoryClock(now or self.written + _DAY))

    @property
    def written(self) -> datetime:
        """When the release that wrote it looked last."""
        return max(state.known.answered_until for state in map(self.state, ("kept", "dead")))

    def state(self, name: str) -> State:
        """What today's program reads of its state."""
        state = load_state(self.state_file(name))
        assert state is not None
        return state

    def state_file(self, name: str) -> Path:
        return state_file(self.root / "state", self.root / name / "app" / "Data" / "data.4DD")

    def served(self, name: str) -> Served:
        """The database under a service that has just started."""
        host = Host(self.root / "state", ZoneInfo("UTC"), PathMap())
        return Served(ServedDatabase(self.root / name / "app", None), host)


_DAY = timedelta(days=1)


@contextmanager
def thawed(name: str) -> Iterator[Sample]:
    """Lay it out in a folder whose name is as long as the one it was frozen in, so that no byte moves."""
    root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=STAGE.parent))
    try:
        assert len(str(root)) == len(str(STAGE))
        with tarfile.open(SAMPLES / f"{name}.tar.xz") as archive:
            archive.extractall(root, filter="data")
        _lead_here(root)
        yield Sample(name, root)
    finally:
        shutil.rmtree(root)


def _lead_here(root: Path) -> None:
    frozen, here = str(STAGE).encode(), str(root).encode()
    for file in [path for path in root.rglob("*") if path.is_file()]:
        if not _ARCHIVE.search(file.name):
            file.write_bytes(file.read_bytes().replace(frozen, here))
    for sums in root.rglob("SHA256SUMS"):
        manifest = hashlib.sha256((sums.parent / "manifest.json").read_bytes()).hexdigest()
        text = re.sub(r"[0-9a-f]{64}(?=  manifest\.json)", manifest, sums.read_text())
        sums.write_text(text)
    for name in ("kept", "dead"):
        _rename(root, name)


def _rename(root: Path, name: str) -> None:
    """State files and hidden work are called after the path of the data file."""
    part = Path(name) / "app" / "Data" / "data.4DD"
    before, now = state_file(root / "state", STAGE / part), state_file(root / "state", root / part)
    for file in (root / "state").glob(f"{before.stem}.*"):
        file.rename(now.with_suffix(file.suffix))
    then, tag = database_tag(STAGE / part), database_tag(root / part)
    writer = writer_tag(root / name / "app")  # as if this machine had written it
    for folder in (root / name / "backups").glob(f".backup4d-*-{then}*"):
        ours = re.sub(rf"-{then}\.[0-9a-f]{{8}}-", f"-{tag}.{writer}-", folder.name)
        ours = ours.replace(f"-{then}-", f"-{tag}-")
        folder.rename(folder.with_name(ours))


def tomorrow_at(instant: datetime, hour: int, minute: int = 0) -> datetime:
    """The next moment with this hour."""
    found = instant.astimezone(UTC).replace(hour=hour, minute=minute, second=0, microsecond=0)
    return found if found > instant else found + _DAY
