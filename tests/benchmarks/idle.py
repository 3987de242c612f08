"""What the idle service costs: resident memory and wake-ups. Run: python -m tests.benchmarks.idle [SECONDS]."""

import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.scheduler.real import Real, application, service

WINDOW_SECONDS = 120.0
_SETTLE_SECONDS = 3.0
# the other kind is the kernel giving another process a turn, which says nothing about this one
_WAKE_UPS = re.compile(r"^voluntary_ctxt_switches:\s+(\d+)", re.MULTILINE)
LIMITS_MIB = {1: 40, 50: 60, 500: 150}
MOST_WAKE_UPS = 0.2


@dataclass(frozen=True, slots=True)
class Cost:
    """One measurement; `wake_ups` are the voluntary context switches of all threads in a second."""

    databases: int
    resident_mib: float
    wake_ups: float
    threads: int


def measure(folder: Path, databases: int, *, seconds: float) -> Cost:
    """Start the real service on so many databases and watch it doing nothing."""
    apps = [application(folder / f"database {number}") for number in range(databases)]
    with service(folder / "state", *apps) as real:
        real.wait_for("next backup", times=databases)
        time.sleep(_SETTLE_SECONDS)
        before, began = _switches(real), time.monotonic()
        time.sleep(seconds)
        switches, elapsed = _switches(real) - before, time.monotonic() - began
        return Cost(databases, _resident_mib(real), switches / elapsed, len(_tasks(real)))


def _tasks(real: Real) -> list[Path]:
    return list(Path(f"/proc/{real.process.pid}/task").iterdir())


def _switches(real: Real) -> int:
    return sum(
        int(number)
        for task in _tasks(real)
        for number in _WAKE_UPS.findall((task / "status").read_text())
    )


def _resident_mib(real: Real) -> float:
    text = Path(f"/proc/{real.process.pid}/status").read_text()
    (kib,) = re.findall(r"VmRSS:\s+(\d+)", text)
    return int(kib) / 1024


def main() -> None:
    """Print the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else WINDOW_SECONDS
    sys.stdout.write("databases  resident MiB  (limit)  wake-ups/s  (limit)  threads\n")
    for databases, limit in LIMITS_MIB.items():
        with tempfile.TemporaryDirectory() as folder:
            cost = measure(Path(folder), databases, seconds=seconds)
        sys.stdout.write(
            f"{cost.databases:>9}  {cost.resident_mib:>12.1f}  {limit:>7}  {cost.wake_ups:>10.3f}"
            f"  {MOST_WAKE_UPS:>7}  {cost.threads:>7}\n"
        )


if __name__ == "__main__":
    main()
