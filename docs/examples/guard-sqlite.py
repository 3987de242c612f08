#!/usr/bin/env python3
"""A guard of backup4d for SQLite: nobody writes to these databases while the backup reads them.

    guard-sqlite.py [--wait SECONDS] [--at-most SECONDS] DATABASE...

Readers go on, writers wait. Attach the whole folder of a database, not the file alone: in WAL mode the newest
rows lie in the file beside it. Whatever happens, writers wait no longer than --at-most: then this program gives
up, and the backup fails rather than save files that changed.
"""

import argparse
import select
import sqlite3
import sys
from contextlib import ExitStack, closing
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description="keep SQLite databases still for backup4d")
    parser.add_argument("--wait", type=float, default=30.0, help="how long to wait for writers")
    parser.add_argument("--at-most", type=float, default=600.0, help="how long writers may wait")
    parser.add_argument("databases", nargs="+", type=Path, metavar="DATABASE")
    options = parser.parse_args()
    with ExitStack() as stack:
        for database in options.databases:
            try:
                connection = stack.enter_context(closing(hold(database, options.wait)))
            except sqlite3.Error as error:
                sys.exit(f"{database} cannot be held: {error}")
            stack.callback(connection.rollback)
        sys.stdout.write("ready to clone\n")  # it may write there: locks stop nobody but SQLite
        sys.stdout.flush()
        if not told_to_let_go(options.at_most):
            sys.exit(f"gave up after {options.at_most:g} s, so that writers go on")


def hold(database: Path, wait: float) -> sqlite3.Connection:
    """Become the one writer, and write nothing."""
    # mode=rw: a name written wrong must not make a new, empty database
    address = f"{database.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(address, uri=True, timeout=wait, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def told_to_let_go(seconds: float) -> bool:
    """Wait for the end of standard input: it comes when the backup lets go, and when it dies."""
    sys.stdin.buffer.readline()  # what the backup tells, as one JSON object; nothing follows but the end
    readable, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(readable)


if __name__ == "__main__":
    main()
