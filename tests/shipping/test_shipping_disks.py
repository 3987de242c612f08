"""The real service ships to a disk that fills up, and to one that hangs: it says so, harms nothing, and goes on."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scheduler.real import Real, service_of, wait_until
from tests.shipping.stage import (
    Stage,
    assert_nothing_lost,
    assert_restores_to,
    set_stage,
    wait_until_shipped,
    watching,
    writing,
)
from tests.storage.disks import Disk, disk, mounted

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(400)]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=24m", "tmpfs") as folder:
        yield folder


@pytest.fixture
def usb(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path / "usb") as made:
        yield made


def until_told(stage: Stage, words: str, seconds: float = 120) -> None:
    """Somebody asks for the status again and again, as a monitor does."""

    def said() -> bool:
        code, status = stage.status()
        time.sleep(1)
        return code == 1 and words in str(status["trouble"])

    wait_until(said, f"status never said {words!r}: {stage.status()}", seconds)


def until_journaled(stage: Stage, words: str, seconds: float = 90) -> None:
    wait_until(lambda: words in stage.app.journal(), f"{words!r} is not journaled", seconds)


def test_a_backup_folder_that_is_full_holds_the_log_back_and_nothing_is_lost(
    tmp_path: Path, small: Path
) -> None:
    stage = set_stage(tmp_path, destination=small / "sets")
    filler = small / "filler"

    with watching(stage) as watcher, service_of(stage.service_file, stage.state):
        with writing(stage, seconds=90, rate=300, renew_every=20) as writer:
            time.sleep(5)
            _fill(filler)
            until_told(stage, "no room in the backup folder")
            until_journaled(stage, "Held : no room")
            free = _room(small)
            filler.unlink()
            until_journaled(stage, "Shipped again")
            writer.wait(120)
        wait_until_shipped(stage)
        _, status = stage.status()

    assert free < 2 << 20
    assert "the log is not shipped" not in str(status["trouble"])
    lost = assert_nothing_lost(stage, watcher.told)
    print(f"\nfull for a while: {lost} operations never shipped, {len(watcher.told)} times told")
    assert lost == 0
    assert stage.app.journal().count("Held :") == 1
    assert_restores_to(stage, stage.truths())


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(1 << 16))
        except OSError:
            pass


def _room(disk: Path) -> int:
    facts = os.statvfs(disk)
    return facts.f_bavail * facts.f_frsize


def test_a_backup_folder_that_hangs_hangs_no_service(tmp_path: Path, usb: Disk) -> None:
    stage = set_stage(tmp_path, destination=usb.folder / "sets")

    with watching(stage) as watcher, service_of(stage.service_file, stage.state) as real:
        with writing(stage, seconds=120, rate=200) as writer:
            wait_until(lambda: watcher.told, "nothing was ever shipped")
            watcher.stop()  # it would hang as well
            usb.hang()
            try:
                _answers(stage, real)
                until_journaled(stage, "Held : a disk does not answer", 120)
                _answers(stage, real)
            finally:
                usb.answer()
            until_journaled(stage, "Shipped again")
            writer.terminate()
            writer.wait(20)
        wait_until_shipped(stage, 60)
        assert real.stop(60) == 0

    assert assert_nothing_lost(stage, watcher.told) == 0


def _answers(stage: Stage, real: Real) -> None:
    """The service itself answers at once; `status` waits for the disk no longer than it says."""
    began = time.monotonic()
    code, text = stage.ask("reload", seconds=30)
    assert code in (0, 1), text
    assert time.monotonic() - began < 20
    assert "Traceback" not in real.said()


def test_a_service_whose_disk_hangs_is_stopped_in_time(tmp_path: Path, usb: Disk) -> None:
    stage = set_stage(tmp_path, destination=usb.folder / "sets")

    with (
        watching(stage) as watcher,
        service_of(stage.service_file, stage.state) as real,
        writing(stage, seconds=20, rate=200),
    ):
        wait_until(lambda: watcher.told, "nothing was ever shipped")
        watcher.stop()
        usb.hang()
        try:
            time.sleep(3)
            began = time.monotonic()
            real.process.terminate()
            time.sleep(30)
            took = time.monotonic() - began
        finally:
            usb.answer()
        assert real.process.wait(60) == 0
    print(f"\nstopped; the disk hung for {took:.0f} s meanwhile")
    assert_nothing_lost(stage, watcher.told)
