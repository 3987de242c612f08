"""`backup4d demo`: the whole job on a small application, with the real service, in under a minute."""

import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from subprocess import Popen, TimeoutExpired  # noqa: TID251 - names only; engine.host starts it

import click

from engine.errors import EngineError, Exit
from engine.history import HISTORY
from engine.host import start_process
from engine.journal import current_journal
from engine.progress import silent
from engine.restore import Restored, restore_set
from engine.sets import StoredSet, set_name
from engine.stop import StopRequest
from engine.verify import verify_set
from scheduler.commands_sets import stop_on_signals
from scheduler.context import Context, context_of
from scheduler.demo_files import CATALOG, demo_data, demo_log
from scheduler.screen import say, size_words, time_words
from settings.layout import DatabaseLayout

_SECONDS_TO_SLOT = 8
_PATIENCE_SECONDS = 60
_STOP_SECONDS = 70

_SETTINGS = """<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<Preferences4D xmlns="http://www.4d.com/namespace/reserved/2004/backup">
  <Backup>
    <Settings>
      <General>
        <IncludeStructureFile>True</IncludeStructureFile>
        <IncludeDataFile>True</IncludeDataFile>
        <DestinationFolder>{destination}/</DestinationFolder>
        <IncludesFiles>
          <ItemsCount>2</ItemsCount>
          <Item1>./Data/data.4DIndx</Item1>
          <Item2>./Resources/</Item2>
        </IncludesFiles>
      </General>
      <Scheduler>
        <Frequency>Daily</Frequency>
        <Daily>
          <Every>1</Every>
          <Hour>0000-00-00T{time}.000</Hour>
        </Daily>
      </Scheduler>
    </Settings>
  </Backup>
</Preferences4D>
"""


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="A new folder to work in; a temporary one by default.",
)
@click.option("--remove", is_flag=True, help="Remove the folder at the end.")
@click.pass_context
def demo(ctx: click.Context, folder: Path | None, *, remove: bool) -> int:
    """Show the whole job on a small made-up application: schedule, service, set, journal, restore.

    Nothing outside one new folder is touched. Takes about ten seconds.
    """
    context = context_of(ctx)
    stop = stop_on_signals()
    with _workplace(folder, remove=remove) as place:
        _run(context, place, stop)
        if not remove:
            _say_what_next(place)
    return Exit.DONE


@contextmanager
def _workplace(folder: Path | None, *, remove: bool) -> Iterator[Path]:
    """The folder of the demo; kept unless asked otherwise, so that one can look around in it."""
    if folder is None:
        place = Path(tempfile.mkdtemp(prefix="backup4d-demo-"))
    else:
        place = folder.absolute()
        place.mkdir(parents=True)
    try:
        yield place
    finally:
        if remove:
            shutil.rmtree(place, ignore_errors=True)


def _run(context: Context, place: Path, stop: StopRequest) -> None:
    package, destination = place / "Invoices", place / "Backups"
    _step(1, f"A small 4D-like application is made in {package}")
    due = context.clock.now().replace(microsecond=0) + timedelta(seconds=_SECONDS_TO_SLOT)
    _make_application(package, destination, due, f"{due.astimezone(context.zone):%H:%M:%S}")
    say(
        f"Its Settings/backup.4DSettings asks for a backup every day at {due.astimezone(context.zone):%H:%M:%S}"
    )
    _step(2, "The real service is started on it, as systemd would; these are its own words:")
    say(f"(the slot is {_SECONDS_TO_SLOT} seconds away)")
    with _service(context, place, package) as process:
        stored = _wait_for_set(context, package, destination, stop, process)
    _step(3, f"The set: {stored.folder}")
    _show_set(stored, context, stop)
    _step(4, "The Backup journal, which an administrator reads:")
    journal = current_journal(package / "Logs")
    say("" if journal is None else journal.read_text("utf-8").rstrip())
    _step(5, "The history, which programs read (the same shape as 4D's):")
    say((destination / HISTORY).read_text("utf-8"))
    _step(
        6, "The set is restored into a new folder and compared with the application, file by file"
    )
    target = place / "Invoices restored"
    restored = restore_set(stored.folder, target, workers=2, stop=stop, report=silent)
    _compare(package, restored)


def _step(number: int, text: str) -> None:
    say()
    say(f"--- {number}. {text}")


def _make_application(package: Path, destination: Path, due: datetime, time: str) -> None:
    source = random.Random(4)  # noqa: S311 - the same made-up data every time
    for folder in ("Project/Sources/Methods", "Data", "Settings", "Resources/images", "Logs"):
        (package / folder).mkdir(parents=True)
    destination.mkdir()
    (package / "Project" / "Invoices.4DProject").write_text("{}\n")
    for number in range(200):
        lines = [f"var $total_{number} : Real", *("// a line of code" for _ in range(number))]
        method = package / "Project" / "Sources" / "Methods" / f"computeTotal_{number:03d}.4dm"
        method.write_text("\r\n".join(lines))
    rows = [f"{number:08d};customer {number % 997};open\n" for number in range(400_000)]
    log, last = demo_log(due - timedelta(minutes=1))
    data = demo_data("".join(rows).encode() + source.randbytes(2 << 20), last)
    (package / "Data" / "data.4DD").write_bytes(data)
    (package / "Data" / "data.4DIndx").write_bytes(source.randbytes(1 << 20))
    (package / "Data" / "data.journal").write_bytes(log)
    (package / "Project" / "Sources" / "catalog.4DCatalog").write_text(CATALOG)
    for number in range(5):
        image = package / "Resources" / "images" / f"logo {number}.png"
        image.write_bytes(source.randbytes(50_000))
    text = _SETTINGS.format(destination=destination, time=time)
    (package / "Settings" / "backup.4DSettings").write_text(text)


@contextmanager
def _service(context: Context, place: Path, package: Path) -> Iterator[Popen[bytes]]:
    command = [sys.executable, "-P", "-m", "scheduler"]
    if context.service.file is not None:  # its time zone counts for the slot
        command += ["--service-file", str(context.service.file)]
    command += ["--state-folder", str(place / "state"), "run", str(package)]
    process = start_process(command)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=_STOP_SECONDS)
        except TimeoutExpired:
            process.kill()
            process.communicate()


def _wait_for_set(
    context: Context, package: Path, destination: Path, stop: StopRequest, process: Popen[bytes]
) -> StoredSet:
    """Wait for the slot and the set, and for its entry in the history, which comes last but one."""
    layout: DatabaseLayout = context.layout(package, None)
    folder = destination / set_name(layout.data_file.stem, 1)
    nobody = threading.Event()
    for _ in range(_PATIENCE_SECONDS * 4):
        stop.check()
        if process.poll() is not None:
            break
        if folder.exists() and _is_journaled(package, folder):
            return context.inventory(layout).sets[-1]
        context.clock.wait(nobody, 0.25)
    raise EngineError(
        f"no set appeared within {_PATIENCE_SECONDS} seconds", hint="see the service's words above"
    )


def _is_journaled(package: Path, folder: Path) -> bool:
    journal = current_journal(package / "Logs")
    return journal is not None and str(folder) in journal.read_text("utf-8")


def _show_set(stored: StoredSet, context: Context, stop: StopRequest) -> None:
    for file in sorted(stored.folder.iterdir()):
        say(f"{file.stat().st_size:>12,}  {file.name}")
    facts = stored.facts
    say(
        f"{facts.members} files and folders, {size_words(facts.content_bytes)} in "
        f"{size_words(facts.archive_bytes)}, due {time_words(facts.scheduled or facts.started, context.zone)}, "
        f"started {time_words(facts.started, context.zone)}"
    )
    verdict = verify_set(stored.folder, workers=2, stop=stop, report=silent)
    if not verdict.good:
        raise EngineError("; ".join(verdict.damage))
    say("verified: every byte was read back from the disk and is what was saved")


def _compare(package: Path, restored: Restored) -> None:
    """Compared here with SHA-256 of both sides, without the program's own digests."""
    equal, size = 0, 0
    for folder, _, names in os.walk(restored.target):
        for name in names:
            copy = Path(folder) / name
            original = package / copy.relative_to(restored.target)
            if _sha256(copy) != _sha256(original):
                raise EngineError(f"{copy} is not equal to {original}")
            equal, size = equal + 1, size + copy.stat().st_size
    say(f"{equal} files, {size_words(size)}: all equal")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _say_what_next(place: Path) -> None:
    called = Path(sys.argv[0])
    program = str(called) if called.name == "backup4d" else "backup4d"
    package = place / "Invoices"
    folder = place / "Backups" / "data[0001]"
    say()
    say("--- Look further:")
    say(f"{program} settings explain '{package}'")
    say(f"{program} backup '{package}'")
    say(f"{program} list '{package}'")
    say(f"{program} --state-folder '{place / 'state'}' status '{package}'")
    say(f"{program} verify '{package}'")
    say(f"{program} log info '{package}'")
    say(f"cd '{folder}' && sha256sum -c SHA256SUMS && zstd -dc 'data[0001].tar.zst' | tar -t")
    say(f"rm -r '{place}'   (when you have seen enough)")
