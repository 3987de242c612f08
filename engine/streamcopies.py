"""Shipped logs for a restore: the pieces beside a set, each as far as its ledger vouches for every byte."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from engine.errors import EngineError
from engine.files import open_regular
from engine.logfile import ByteReader
from engine.logplan import Shipped
from engine.streamfolder import piece_numbers, stream_folders
from engine.streampiece import data_name, read_ledger, sound_entries


@dataclass(frozen=True, slots=True)
class PieceReader:
    """A piece up to its last byte that is certain."""

    descriptor: int
    size: int

    def read(self, offset: int, count: int) -> bytes:
        """Bytes at an offset. Raises OSError."""
        return os.pread(self.descriptor, min(count, max(0, self.size - offset)), offset)


def shipped_logs(
    destination: Path, base: str, data_file: Path, stack: ExitStack
) -> Iterator[tuple[Shipped, ByteReader | str]]:
    """Every shipped log of a data file, with a reader, or why there is none; all of it is compared with its ledger."""
    try:
        folders = stream_folders(destination, base, data_file)
    except OSError:
        return
    for folder in folders:
        try:
            numbers = piece_numbers(folder)
        except OSError as error:
            yield Shipped(folder, 0), f"{folder} cannot be read: {error.strerror}"
            continue
        for number in numbers:
            yield Shipped(folder, number), _reader(folder, number, stack)


def _reader(folder: Path, number: int, stack: ExitStack) -> ByteReader | str:
    try:
        ledger = read_ledger(folder, number)
        descriptor = stack.enter_context(open_regular(folder / data_name(number), links=False))
        size = os.fstat(descriptor.fileno()).st_size
        sound = sound_entries(descriptor.fileno(), ledger.entries, size, all_of_them=True)
    except EngineError as error:
        return str(error)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return PieceReader(descriptor.fileno(), sound[-1].end if sound else 0)
