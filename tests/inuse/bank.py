"""An application that writes to a SQLite database about a thousand times a second, and what must hold of every copy.

Each transaction moves money between two accounts and enters that under the next number; the number is in the log
before the transaction ends, so a log is never behind its data.
"""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.inuse.disks import ROOT

_ACCOUNTS, _AMOUNT, _KEPT = 1000, 1000, 3000
# several flushes a transaction would make it the speed of the disk, not of the application
_NEW = """
PRAGMA journal_mode = {mode};
PRAGMA synchronous = OFF;
CREATE TABLE account (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL, filling BLOB);
CREATE TABLE entry (number INTEGER PRIMARY KEY, source INTEGER, target INTEGER, amount INTEGER);
CREATE INDEX entry_source ON entry (source);
"""


def new_bank(file: Path, mode: str) -> None:
    """A database with accounts, about 3 MB of it."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(_NEW.format(mode=mode))
        rows = [(at, _AMOUNT, random.randbytes(2000)) for at in range(_ACCOUNTS)]
        connection.executemany("INSERT INTO account VALUES (?, ?, ?)", rows)
        connection.execute("INSERT INTO entry VALUES (1, 0, 0, 0)")
        connection.commit()


def wrong_with(file: Path, log: Path) -> list[str]:
    """What does not hold of a copy after SQLite's own recovery; nothing, when it is good."""
    with closing(sqlite3.connect(file)) as connection:
        try:
            found = [
                row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"
            ]
            (total,) = connection.execute("SELECT sum(amount) FROM account").fetchone()
            query = "SELECT count(*), min(number), max(number) FROM entry"
            count, least, most = connection.execute(query).fetchone()
        except sqlite3.Error as error:
            return [str(error)]
    if total != _ACCOUNTS * _AMOUNT:
        found.append(f"the accounts hold {total}")
    if count != most - least + 1:
        found.append(f"{count} entries from {least} to {most}")
    logged = int(log.read_bytes().rpartition(b"\n")[0].rpartition(b"\n")[2] or 0)
    if logged < most:
        found.append(f"the log ends at {logged}, the data at {most}")
    return found


@contextmanager
def working(file: Path, log: Path, told: dict[str, Any]) -> Iterator[None]:
    """The application at work; `told` gets transactions, seconds and the longest pause between two, in ms."""
    command = [sys.executable, "-m", "tests.inuse.bank", str(file), str(log)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as bank:
        assert bank.stdout is not None
        assert bank.stdout.readline() == "working\n"
        try:
            yield
        finally:
            bank.send_signal(signal.SIGTERM)
            done, seconds, pause = bank.communicate(timeout=60)[0].split()
            told |= {"transactions": int(done), "seconds": float(seconds), "pause ms": float(pause)}


def _work(file: Path, log: Path) -> None:
    over: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: over.append(number))
    chance = random.Random(7)
    pauses: list[float] = []
    with (
        closing(sqlite3.connect(file, timeout=120, isolation_level=None)) as connection,
        log.open("ab", buffering=0) as logged,
    ):
        connection.execute("PRAGMA synchronous = OFF")
        (number,) = connection.execute("SELECT max(number) FROM entry").fetchone()
        first, began = number, time.monotonic()
        last = due = began
        while not over:
            number += 1
            _move(connection, logged, number, chance)
            now = time.monotonic()
            pauses.append(now - last)
            due = max(
                due + 0.001, now - 0.1
            )  # a thousand a second; what was missed is caught up in part
            time.sleep(max(due - now, 0))
            last = time.monotonic()
            if number == first + 50:
                print("working", flush=True)
                pauses.clear()
    print(number - first, round(time.monotonic() - began, 1), round(max(pauses) * 1000, 1))


def _move(connection: sqlite3.Connection, logged: Any, number: int, chance: random.Random) -> None:
    source, target = chance.sample(range(_ACCOUNTS), 2)
    amount = chance.randint(1, 50)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE account SET amount = amount - ? WHERE id = ?", (amount, source))
    connection.execute("INSERT INTO entry VALUES (?, ?, ?, ?)", (number, source, target, amount))
    connection.execute("DELETE FROM entry WHERE number <= ?", (number - _KEPT,))
    connection.execute("UPDATE account SET amount = amount + ? WHERE id = ?", (amount, target))
    logged.write(b"%d\n" % number)
    connection.execute("COMMIT")


if __name__ == "__main__":
    _work(Path(sys.argv[1]), Path(sys.argv[2]))
