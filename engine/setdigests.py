"""Which SHA-256 the files of a set must have, by its SHA256SUMS and its manifest, and which they have."""

import errno
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.errors import EngineError
from engine.files import open_regular, read_regular
from engine.manifest import CHECKSUMS, MANIFEST, manifest_digest, parse_checksums, read_manifest
from engine.stop import StopRequest

_CHECKSUMS_LIMIT = 4 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SET_FILE = re.compile(r".+\[\d{4,}(-\d+)?\]\..+", re.DOTALL)
_CHUNK = 1 << 20
_NO_FILE = (
    errno.ENOENT,
    errno.ELOOP,
    errno.EIO,
    errno.EISDIR,
    errno.EINVAL,
    errno.ENXIO,
)


@dataclass(frozen=True, slots=True)
class FileDigests:
    """What a file is: its size and digests."""

    size: int
    sha256: str
    md5: bytes


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a set says of its files: name to SHA-256, in SHA256SUMS and in the manifest.

    `agree` when both are there and say the same, also of the manifest itself: then both are as written,
    and nothing that says otherwise is believed.
    """

    sums: dict[str, str]
    listed: dict[str, str]
    agree: bool

    def wanted(self, name: str) -> dict[str, str]:
        """The digests a file may have, each with the name of the file that says so."""
        found: dict[str, str] = {}
        for source, digests in ((MANIFEST, self.listed), (CHECKSUMS, self.sums)):
            if name in digests:
                found[digests[name]] = source
        return found

    def names(self) -> set[str]:
        """The files of the set that are known of."""
        return {MANIFEST, CHECKSUMS, *self.sums, *self.listed}

    def is_of_set(self, name: str) -> bool:
        """Whether a file with this name belongs to the set; when both lists are doubtful, by its form."""
        known = name in self.names()
        return known or (not self.agree and _SET_FILE.fullmatch(name) is not None)


def read_recorded(folder: Path) -> Recorded:
    """What the files in a folder say, as far as they can be read."""
    sums: dict[str, str] = {}
    found = None
    try:
        sums = _sums(folder)
        found = manifest_digest(folder)
    except OSError:
        pass  # no digests then, or only those of the archives
    try:
        archives = read_manifest(folder).archives
        listed = {file.name: file.sha256 for archive in archives for file in archive.files}
    except EngineError:
        return Recorded(sums, {}, agree=False)
    there = {**listed, MANIFEST: found}
    agree = all(sums.get(name) == digest for name, digest in there.items())
    return Recorded(sums, listed, agree=agree)


def contradicts_checksums(folder: Path) -> bool:
    """Whether the manifest is not the one that SHA256SUMS was written for; False where that cannot be told."""
    try:
        wanted = _sums(folder).get(MANIFEST)
        return wanted is not None and wanted != manifest_digest(folder)
    except OSError:
        return False


def vouches_for_manifest(folder: Path) -> bool:
    """Whether SHA256SUMS says that the manifest is the one it was written for."""
    try:
        return _sums(folder).get(MANIFEST) == manifest_digest(folder)
    except OSError:
        return False


def _sums(folder: Path) -> dict[str, str]:
    """The lines of SHA256SUMS that can be right. Raises OSError."""
    text = read_regular(folder / CHECKSUMS, _CHECKSUMS_LIMIT).decode("utf-8", "surrogateescape")
    said = parse_checksums(text)
    return {name: digest for name, digest in said.items() if _SHA256.fullmatch(digest)}


def read_digests(file: Path, stop: StopRequest, read: Callable[[int], None]) -> FileDigests | None:
    """Read a file; None when it is not there, no plain file, or its disk cannot read it.

    `read` is told how many bytes were read. Raises OSError when this user may not read it, StoppedError.
    """
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    size = 0
    try:
        with open_regular(file, links=False) as stream:
            while piece := stream.read(_CHUNK):
                stop.check()
                sha256.update(piece)
                md5.update(piece)
                size += len(piece)
                read(len(piece))
    except OSError as error:
        if error.errno in _NO_FILE:
            return None
        raise
    return FileDigests(size, sha256.hexdigest(), md5.digest())
