"""The real service ships a log that a real process writes, a thousand records a second; it is killed, the log renewed."""

import random
import time
from pathlib import Path

import pytest

from tests.scheduler.real import service_of
from tests.shipping.stage import (
    assert_nothing_lost,
    assert_restores_to,
    flush,
    set_stage,
    wait_until_shipped,
    watching,
    writing,
)
from tests.shipping.watching import figures, lags, pieces, records


def test_nothing_that_was_told_as_shipped_is_lost_by_a_kill_or_a_renewal(tmp_path: Path) -> None:
    stage = set_stage(tmp_path)

    with watching(stage) as watcher, writing(stage, seconds=3, renew_every=2) as writer:
        with service_of(stage.service_file, stage.state):
            time.sleep(1.2)
        with service_of(stage.service_file, stage.state):
            writer.wait(20)
            wait_until_shipped(stage)
            _, status = stage.status()

    assert assert_nothing_lost(stage, watcher.told) == 0
    assert list(pieces(stage.app).values()) == stage.truths()
    assert status["behind"] == {"operations": 0, "bytes": 0, "seconds": None}
    assert_restores_to(stage, stage.truths())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_lag_at_a_thousand_records_a_second(tmp_path: Path) -> None:
    stage = set_stage(tmp_path)

    with watching(stage) as watcher, service_of(stage.service_file, stage.state) as real:
        with writing(stage, seconds=60) as writer:
            time.sleep(5)
            before = _cost(real.process.pid)
            time.sleep(50)
            after = _cost(real.process.pid)
            writer.wait(30)
        wait_until_shipped(stage)

    content = stage.app.log.read_bytes()
    found = lags(content, watcher.told)[100:]
    cpu, switches = ((late - early) / 50 for early, late in zip(before, after, strict=True))
    print(f"\n{len(found)} records, {len(content)} bytes: lag {figures(found)}")
    print(f"the service: {cpu * 100:.2f} % of a core, {switches:.1f} wake-ups a second")
    assert max(found) < 5


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_backups_are_made_meanwhile_and_the_newest_leads_on(tmp_path: Path) -> None:
    stage, reached = set_stage(tmp_path), 0

    with watching(stage) as watcher, service_of(stage.service_file, stage.state):
        with writing(stage, seconds=25) as writer:
            for _ in range(4):
                time.sleep(3)
                reached = records(stage.app.log.read_bytes())[-1].number
                flush(stage.app, reached)
                code, text = stage.ask("backup", stage.app.package, seconds=100)
                assert code == 0, text
            writer.wait(60)
        wait_until_shipped(stage)

    assert assert_nothing_lost(stage, watcher.told) == 0
    assert stage.app.sets() == ["data[0003]", "data[0004]", "data[0005]"]
    assert_restores_to(stage, stage.truths(), first=reached)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_idle_log_costs_next_to_nothing(tmp_path: Path) -> None:
    stage = set_stage(tmp_path, lag=5)

    with service_of(stage.service_file, stage.state) as real:
        wait_until_shipped(stage)
        time.sleep(15)
        before = _cost(real.process.pid)
        time.sleep(120)
        after = _cost(real.process.pid)
        status = Path(f"/proc/{real.process.pid}/status").read_text()
        (resident,) = (line.split()[1] for line in status.splitlines() if "VmRSS" in line)

    cpu, switches = ((late - early) / 120 for early, late in zip(before, after, strict=True))
    print(
        f"\nidle: {switches:.3f} wake-ups a second, {cpu * 100:.2f} % of a core, {int(resident) >> 10} MiB"
    )
    assert switches < 0.3


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_kills_and_renewals_for_minutes(tmp_path: Path) -> None:
    stage, chance = set_stage(tmp_path), random.Random(11)
    kills, minutes = 0, 5

    with watching(stage) as watcher:
        with writing(stage, seconds=minutes * 60, renew_every=7) as writer:
            while writer.poll() is None:
                with service_of(stage.service_file, stage.state):
                    time.sleep(chance.uniform(1, 6))
                kills += 1
                time.sleep(chance.choice((0, 0, 0.5, 3)))
        with service_of(stage.service_file, stage.state):
            wait_until_shipped(stage)

    lost = assert_nothing_lost(stage, watcher.told)
    truths, now = stage.truths(), pieces(stage.app)
    whole = sum(truth in now.values() for truth in truths)
    waits = [
        lag
        for number, content in now.items()
        for lag in lags(content, [one for one in watcher.told if one.piece == number])
        if lag < 3600  # not those that were there before
    ]
    print(
        f"\n{kills} kills, {len(truths) - 1} renewals, {len(watcher.told)} times told, all of it true"
    )
    print(
        f"{whole} of {len(truths)} logs whole; {lost} operations were in a log that was renewed before the next"
        " service had looked"
    )
    print(f"{len(waits)} records: lag {figures(waits)} (with the times in which no service ran)")
    assert kills > 30


def _cost(pid: int) -> tuple[float, float]:
    """Seconds of a core, and how often any thread was woken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu = (int(fields[11]) + int(fields[12])) / 100
    woken = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        woken += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))
    return cpu, float(woken)
