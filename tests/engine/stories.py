"""What the stories about backups are told with: a small 4D application, its backup folder, the outside judges."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

import pytest

from engine.backup import run_backup
from engine.codec import GRID_BYTES
from engine.host import Clock
from engine.manifest import SetFacts
from engine.progress import Report, silent
from engine.request import Request
from engine.restore import Restored, restore_set
from engine.results import Outcome
from engine.sets import StoredSet
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from engine.verify import Verdict, verify_set
from settings.layout import DatabaseLayout
from settings.locate import locate_database
from settings.paths import PathMap
from settings.service_model import ArchiveFormat, Limits
from tests.fakes import StoryClock

PARIS = ZoneInfo("Europe/Paris")
FRAME = GRID_BYTES
CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
DAY = timedelta(days=1)

_A, _G = "Advanced", "General"
DATA = f"{_G}/IncludeDataFile"
STRUCTURE = f"{_G}/IncludeStructureFile"
COMPRESSION = f"{_A}/CompressionRate"
SEGMENT = f"{_A}/FileSegmentation/DefaultSize"
KEEP = f"{_A}/SetNumber/Value"
KEEP_ENABLED = f"{_A}/SetNumber/Enable"
ERASE_BEFORE = f"{_A}/EraseOldBackupBefore"
VERBOSE = f"{_A}/BackupJournalVerboseMode"
ONLY_IF_CHANGED = f"{_A}/BackupIfDataChange"
CHECK = f"{_A}/CheckArchiveFileDuringBackup"
TIMEOUT = f"{_A}/Transaction/Timeout"
DESTINATION = f"{_G}/DestinationFolder"
INDEX = "./Data/data.4DIndx"
REQUIRED = "required"


def settings_xml(changes: Mapping[str, str], attachments: Sequence[str]) -> bytes:
    """A settings file with these values below Settings; all else has 4D's default."""
    lines = ["<Preferences4D><Backup><Settings>"]
    for path, text in changes.items():
        *blocks, name = path.split("/")
        lines.append("".join(f"<{block}>" for block in blocks))
        lines.append(f"<{name}>{escape(text)}</{name}>")
        lines.append("".join(f"</{block}>" for block in reversed(blocks)))
    items = "".join(
        f"<Item{at}>{escape(item)}</Item{at}>" for at, item in enumerate(attachments, 1)
    )
    lines.append(f"<General><IncludesFiles><ItemsCount>{len(attachments)}</ItemsCount>{items}")
    lines.append("</IncludesFiles></General></Settings></Backup></Preferences4D>")
    return "".join(lines).encode()


@dataclass(frozen=True, slots=True)
class App:
    """A 4D application on the disk and the folder its sets go to."""

    package: Path
    destination: Path
    clock: Clock

    @property
    def layout(self) -> DatabaseLayout:
        return locate_database(self.package)

    @property
    def data_file(self) -> Path:
        return self.package / "Data" / "data.4DD"

    @property
    def log(self) -> Path:
        return self.package / "Data" / "data.journal"

    def configure(
        self, changes: Mapping[str, str] | None = None, *, attachments: Sequence[str] = (INDEX,)
    ) -> "App":
        """Write the settings: defaults, this destination, these changes."""
        values = {DESTINATION: f"{self.destination}/", **(changes or {})}
        file = self.package / "Settings" / "backup.4DSettings"
        file.write_bytes(settings_xml(values, attachments))
        return self

    def backup(
        self,
        *,
        scheduled: datetime | None = None,
        report: Report = silent,
        stop: StopRequest | None = None,
        path_map: PathMap | None = None,
        clock: Clock | None = None,
        limits: Limits | None = None,
        archives: ArchiveFormat = ArchiveFormat.TAR,
    ) -> Outcome:
        """Run one backup here and now."""
        around = Surroundings(clock or self.clock, stop or StopRequest(), report)
        request = Request(self.layout, path_map or PathMap(), PARIS, scheduled)
        asked = replace(request, limits=limits or Limits(), archives=archives)
        return run_backup(asked, around)

    def backup_set(self, **how: Any) -> Path:
        """Run one backup and return the folder of the set it published."""
        folder = self.backup(**how).folder
        assert folder is not None
        return folder

    def sets(self) -> list[str]:
        """The names of the sets one can see, in byte order."""
        names = (p.name for p in self.destination.iterdir())
        return sorted(n for n in names if n.endswith("]") and not n.startswith("."))

    def hidden(self) -> list[str]:
        """Half-made or half-removed work in the destination."""
        return sorted(
            p.name
            for p in self.destination.iterdir()
            if p.name.startswith((".backup4d-staging", ".backup4d-removing"))
        )

    def journal(self) -> str:
        """All that the Backup journals say, the numbered files in order."""
        files = sorted((self.package / "Logs").glob("Backup Journal*.txt"))
        return "".join(file.read_text("utf-8") for file in files)

    def history(self) -> dict[str, Any]:
        document = json.loads((self.destination / "backupHistory.json").read_text("utf-8"))
        assert isinstance(document, dict)
        return document

    def records(self) -> list[dict[str, Any]]:
        """The history's records of this database's sets."""
        records = self.history()[self.layout.key]
        assert isinstance(records, list)
        return records


def make_app(
    folder: Path,
    changes: Mapping[str, str] | None = None,
    *,
    attachments: Sequence[str] = (INDEX,),
    data: bytes | None = None,
    clock: Clock | None = None,
) -> App:
    """A small application with project, data, index, log and settings, and an empty backup folder beside it."""
    package, destination = folder / "app", folder / "backups"
    contents = {
        "Project/App.4DProject": b"{}",
        "Project/Sources/Methods/hello.4dm": b"ALERT(1)\n",
        "Settings/settings.4DSettings": b"<preferences/>",
        "Data/data.4DD": patterned(3000) if data is None else data,
        "Data/data.4DIndx": patterned(700),
        "Data/data.journal": patterned(900),
        "Data/Settings/directory.json": b"[]",
    }
    for name, content in contents.items():
        file = package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    destination.mkdir(exist_ok=True)
    app = App(package, destination, clock or StoryClock())
    return app.configure(changes, attachments=attachments)


def patterned(size: int, seed: int = 0) -> bytes:
    """Bytes of which no block is like another, half of them easy to compress."""
    block = b"".join(
        hashlib.sha256(b"%d %d" % (seed, at)).digest() + b"4D record\0" * 3
        for at in range(min(size, 1 << 16) // 62 + 1)
    )
    repeats = size // len(block) + 1
    return b"".join(b"%012d" % at + block for at in range(repeats))[:size]


def pass_a_day(app: App) -> None:
    """The next backup is a day later."""
    assert isinstance(app.clock, StoryClock)
    app.clock.pass_time(DAY)


def verified(folder: Path) -> Verdict:
    return verify_set(folder, workers=2, stop=StopRequest(), report=silent)


def restored(folder: Path, target: Path) -> Restored:
    return restore_set(folder, target, workers=2, stop=StopRequest(), report=silent)


# --- values without a disk ------------------------------------------------------------------------


def facts_of(number: int, **changes: Any) -> SetFacts:
    """The facts of a set as a run writes them."""
    when = datetime(2026, 1, 1, 2, 30, tzinfo=UTC) + number % 3000 * DAY
    name = f"data[{number:04d}]"
    facts = SetFacts(
        number=number,
        base="data",
        package="/srv/app",
        data_file="/srv/app/Data/data.4DD",
        structure="/srv/app/Project/App.4DProject",
        started=when,
        ended=when + timedelta(seconds=27, milliseconds=268),
        scheduled=when,
        complete=True,
        checked=True,
        content_bytes=2000,
        archive_bytes=1000,
        members=3,
        missing=(),
        skipped=(),
        left_out=(),
        attachments=("/srv/app/Data/data.4DIndx",),
        roots=(),
        files=(("main", f"{name}.tar.zst"), ("log", f"data[{number - 1:04d}].journal.zst")),
        tool="backup4d 0",
    )
    return replace(facts, **changes)


def stored(number: int, folder: Path = Path("/srv/backups"), **changes: Any) -> StoredSet:
    """A set as an inventory shows it."""
    return StoredSet(folder / f"data[{number:04d}]", facts_of(number, **changes))


# --- outside judges -------------------------------------------------------------------------------


def judge(*arguments: str | Path | bytes, cwd: Path | None = None, data: bytes = b"") -> bytes:
    """What an outside tool prints; its complaint fails the test, its absence skips it."""
    tool = os.fsdecode(arguments[0])
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not on this machine")
    done = subprocess.run(arguments, cwd=cwd, input=data, capture_output=True, check=False)
    assert done.returncode == 0, (arguments, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def main_archive(folder: Path) -> Path:
    """The main archive of a set that has no segments."""
    found = [p for p in folder.iterdir() if ".tar" in p.name]
    assert len(found) == 1
    return found[0]


def tar_stream(folder: Path, target: Path) -> Path:
    """The plain tar of a set, made by `cat` and `zstd` alone."""
    parts = sorted(p for p in folder.iterdir() if ".tar" in p.name)
    whole = target.with_suffix(".joined")
    with whole.open("wb") as stream:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, stream)
    if parts[0].suffix == ".zst":
        judge("zstd", "-dqf", whole, "-o", target)
        whole.unlink()
    else:
        whole.rename(target)
    return target


# --- trees ----------------------------------------------------------------------------------------

Facts = tuple[Any, ...]


def tree(root: Path, *, times: bool = True) -> dict[bytes, Facts]:
    """Everything below a folder with all that a restore must bring back; works beyond the limit of path length."""
    found: dict[bytes, Facts] = {}
    links: dict[tuple[int, int], bytes] = {}
    top = os.fsencode(root)
    with _many_levels():
        for here, folders, files, descriptor in os.fwalk(top):
            prefix = here.removeprefix(top).lstrip(b"/")
            for name in sorted([*folders, *files]):
                path = b"/".join(part for part in (prefix, name) if part)
                facts = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                found[path] = _facts(name, descriptor, facts, times=times)
                if stat.S_ISREG(facts.st_mode) and facts.st_nlink > 1:
                    first = links.setdefault((facts.st_dev, facts.st_ino), path)
                    found[path] = (*found[path], "linked to", first)
    return found


@contextmanager
def _many_levels() -> Iterator[None]:
    """os.fwalk calls itself for each level; all else would crash where it should be told of its depth."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(usual)


def _facts(name: bytes, folder: int, facts: os.stat_result, *, times: bool) -> Facts:
    when = facts.st_mtime_ns if times else 0
    common = (oct(facts.st_mode), facts.st_uid, facts.st_gid, when)
    if stat.S_ISLNK(facts.st_mode):
        return (*common, os.readlink(name, dir_fd=folder))
    if stat.S_ISREG(facts.st_mode):
        return (*common, facts.st_size, _content(name, folder))
    return common


def _content(name: bytes, folder: int) -> str:
    descriptor = os.open(name, os.O_RDONLY, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def below(found: dict[bytes, Facts], folder: bytes) -> dict[bytes, Facts]:
    """The part of a tree below one of its folders, with paths from there."""
    prefix = folder + b"/"
    return {
        path.removeprefix(prefix): facts for path, facts in found.items() if path.startswith(prefix)
    }
