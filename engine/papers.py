"""The papers of a set: manifest and checksums, written when the archives are."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta
from enum import Enum
from pathlib import Path
from typing import BinaryIO

from engine.manifest import (
    CHECKSUMS,
    MANIFEST,
    ArchiveFacts,
    SetFacts,
    checksum_line,
    write_manifest,
)
from engine.output import StoredFile


def write_papers(
    staging: Path,
    settings: dict[str, object],
    facts: SetFacts,
    archives: tuple[ArchiveFacts, ...],
    spool: BinaryIO,
) -> None:
    """Write both, durable; `spool` holds the members, from its beginning. Raises OSError."""
    with _new_file(staging / MANIFEST) as stream:
        write_manifest(stream, facts, settings, archives, spool)
    with (staging / MANIFEST).open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    files: list[StoredFile] = [file for archive in archives for file in archive.files]
    lines = [checksum_line(file.name, file.sha256) for file in files]
    with _new_file(staging / CHECKSUMS) as stream:
        text = "".join([*lines, checksum_line(MANIFEST, digest)])
        stream.write(text.encode("utf-8", "surrogateescape"))


@contextmanager
def _new_file(file: Path) -> Iterator[BinaryIO]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(file, flags, 0o640), "wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


def plain(value: object) -> object:
    """A settings value as JSON holds it: alternatives with the name of their form, durations in seconds."""
    if is_dataclass(value) and not isinstance(value, type):
        row = {one.name: plain(getattr(value, one.name)) for one in fields(value)}
        return {"form": type(value).__name__, **row}
    match value:
        case list() | tuple():
            return [plain(inner) for inner in value]
        case timedelta():
            return value.total_seconds()
        case time() | date():
            return value.isoformat()
        case Enum():
            return value.value
        case _:
            return value
