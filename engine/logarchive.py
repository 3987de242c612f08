"""A log inside an archive of 4D (.4BL), unpacked into a file without a name: nothing of it stays on the disk."""

import glob
from typing import BinaryIO

from engine.errors import MissingSetError
from engine.fourd.archive import read_list
from engine.fourd.listing import Origin
from engine.fourd.onefile import copy_one
from engine.fourd.reading import Way
from engine.logfile import ByteReader
from engine.stop import StopRequest

TAG = b"70KB"


def unpack_log(archive: ByteReader, into: BinaryIO) -> None:
    """Write the archive's log into a file, every block compared.

    Raises MissingSetError when it holds none, DamagedError at the first byte of it that is not proved, and what
    engine.fourd does.
    """
    way = Way(1, StopRequest())
    entries = read_list(archive, way).entries
    log = next((one for one in entries if one.origin is Origin.LOG), None)
    if log is None:
        raise MissingSetError("this archive of 4D holds no log", code=0)
    copy_one(archive, glob.escape(log.path), into, way)
    into.flush()
