"""A process that writes a log as 4D does: real-shaped records, so many a second, renewed now and then.

    python -m tests.shipping.writer LOG ARCHIVE RATE SECONDS RENEW_EVERY SEED

A record is appended in one step, now and then in two. At a renewal a marker is appended, the file goes into the
folder ARCHIVE as 0001.journal and so on, by a rename or, each second time, as a copy; a new one begins with its number.
RENEW_EVERY 0 is never. It ends at SIGTERM, too, always behind a whole record.
"""

import os
import random
import shutil
import signal
import struct
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.engine import logs

_START_TRANSACTION, _END_TRANSACTION, _MODIFY, _DELETE, _CONTEXT = 30, 31, 25, 26, 22
_ROW, _BLOB = logs.CREATE, logs.BLOB


class Writer:
    """One log that grows."""

    def __init__(self, log: Path, archive: Path, seed: int) -> None:
        self._log = log
        self._archive = archive
        self._random = random.Random(seed)
        self._number = _last_number(log)
        self._renewals = 0
        self._file = os.open(log, os.O_WRONLY | os.O_APPEND)

    def write_one(self) -> None:
        """One record, of the kinds and lengths that are met."""
        kind, length = self._random.choices(
            (
                (_ROW, 260),
                (_MODIFY, 320),
                (_DELETE, 36),
                (_BLOB, 4000),
                (_START_TRANSACTION, 0),
                (_END_TRANSACTION, 0),
                (_CONTEXT, 420),
            ),
            weights=(50, 25, 5, 2, 8, 8, 2),
        )[0]
        if kind not in {_END_TRANSACTION, _CONTEXT}:
            self._number += 1
        payload = self._random.randbytes(self._random.randint(length // 2, length))
        self._append(logs.record(self._number, kind, datetime.now(UTC), payload))

    def renew(self) -> None:
        """As at a backup with renewal, or by the command New log file."""
        self._append(logs.record(self._number, logs.BACKUP, datetime.now(UTC)))
        os.close(self._file)
        self._renewals += 1
        kept = self._archive / f"{self._renewals:04d}.journal"
        if self._renewals % 2:
            self._log.rename(kept)
        else:
            shutil.copyfile(self._log, kept)
            self._log.unlink()
        self._log.write_bytes(logs.log(logs.record(self._number, logs.OPEN, datetime.now(UTC))))
        self._file = os.open(self._log, os.O_WRONLY | os.O_APPEND)

    def _append(self, record: bytes) -> None:
        if self._random.random() < 0.001:
            cut = self._random.randrange(1, len(record))
            os.write(self._file, record[:cut])
            time.sleep(0.01)
            record = record[cut:]
        os.write(self._file, record)


def _last_number(log: Path) -> int:
    content = log.read_bytes()
    at, number = 24, 0
    while at < len(content):
        number, length = struct.unpack_from("<QI", content, at + 4)
        at += length
    return number


def main() -> None:
    log, archive, rate, seconds, every, seed = sys.argv[1:]
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    writer = Writer(Path(log), Path(archive), int(seed))
    began = time.monotonic()
    written, renewed = 0, 0
    while not ended and (passed := time.monotonic() - began) < float(seconds):
        while written < passed * float(rate):
            writer.write_one()
            written += 1
        if float(every) and passed > (renewed + 1) * float(every):
            writer.renew()
            renewed += 1
        time.sleep(0.001)
    print(written, renewed)


if __name__ == "__main__":
    main()
