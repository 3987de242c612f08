"""What the stories about recovery data are told with: sets with real PAR2 files, ways to harm them, hostile packets."""

import hashlib
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import par2run
from engine.parity import Repair, repair_set
from engine.progress import Report, silent
from engine.stop import StopRequest
from tests.engine.stories import COMPRESSION, judge, make_app, patterned

ARCHIVE, LOG = "data[0001].tar", "data[0000].journal"
SUMS, MANIFEST = "SHA256SUMS", "manifest.json"
WHOLE_SET = (ARCHIVE, LOG, MANIFEST, SUMS)
PARITY = f"{ARCHIVE}.par2"
HIDDEN = ".backup4d-repairing-"

Harm = Callable[[Path], None]


def make_set(folder: Path, **settings: str) -> Path:
    """A set of some 60 KB in one plain archive and a log."""
    app = make_app(folder, {COMPRESSION: "None", **settings}, data=patterned(60_000))
    return app.backup_set()


def protect(folder: Path, *names: str, name: str = PARITY, spare: int = 36) -> None:
    """Make recovery data for files of a folder: so many spare blocks of 1 KiB."""
    sizes = ("-s1024", f"-c{spare}", "-n2")
    files = (f"./{one}" for one in names or WHOLE_SET)
    judge("par2", "create", "-q", "-q", *sizes, "--", f"./{name}", *files, cwd=folder)


def repaired(folder: Path, *, report: Report = silent, stop: StopRequest | None = None) -> Repair:
    return repair_set(folder, stop=stop or StopRequest(), report=report)


def no_par2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be no par2, neither in our environment nor in PATH."""
    monkeypatch.setattr(par2run, "BUNDLED", Path("nowhere"))
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", "/nowhere")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its path there."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def copied(folder: Path, target: Path) -> Path:
    """The set in a backup folder of its own."""
    target.mkdir()
    return Path(shutil.copytree(folder, target / folder.name))


def overwrite(file: Path, at: int, content: bytes) -> None:
    with file.open("r+b") as stream:
        stream.seek(at)
        stream.write(content)


# --- harm -----------------------------------------------------------------------------------------


def burst(file: Path) -> None:
    overwrite(file, 20_000, b"\xff" * 5000)


def scattered(file: Path) -> None:
    for at in range(1, file.stat().st_size, 9000):
        overwrite(file, at, b"!")


def truncated(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size * 4 // 5)


def grown(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"more" * 700)


def zeroed(file: Path) -> None:
    overwrite(file, 0, bytes(8000))


def moved(file: Path) -> None:
    """Bytes put in at one place and taken out at another: what is between lies elsewhere now."""
    content = file.read_bytes()
    file.write_bytes(content[:7001] + b"seven b" + content[7001:30_000] + content[30_100:])


def deleted(file: Path) -> None:
    file.unlink()


def linked_away(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/null")


def emptied(file: Path) -> None:
    file.write_bytes(b"")


# --- hostile packets ------------------------------------------------------------------------------

_DESCRIBES, _CHECKS, _MAIN = (
    b"PAR 2.0\0FileDesc",
    b"PAR 2.0\0IFSC\0\0\0\0",
    b"PAR 2.0\0Main\0\0\0\0",
)

_RECOVERS = b"PAR 2.0\0RecvSlic"


def rename_in_packets(file: Path, old: str, new: str) -> None:
    """Recovery data that is right in every digest, and names a protected file otherwise."""
    packets = list(_packets(file.read_bytes()))
    new_name = new.encode()
    ids: dict[bytes, bytes] = {}
    for kind, body in packets:
        if kind == _DESCRIBES and body[56:].rstrip(b"\0") == old.encode():
            ids[body[:16]] = hashlib.md5(body[32:56] + new_name).digest()  # noqa: S324
    changed: list[tuple[bytes, bytes]] = []
    set_id = bytes(16)
    for kind, body in packets:
        this = body
        if kind == _DESCRIBES and body[:16] in ids:
            this = ids[body[:16]] + body[16:56] + new_name + bytes(-len(new_name) % 4)
        elif kind == _CHECKS and body[:16] in ids:
            this = ids[body[:16]] + body[16:]
        elif kind == _MAIN:
            listed = [body[at : at + 16] for at in range(12, len(body), 16)]
            listed = sorted((ids.get(one, one) for one in listed), key=lambda one: one[::-1])
            this = body[:12] + b"".join(listed)
            set_id = hashlib.md5(this).digest()  # noqa: S324
        changed.append((kind, this))
    file.write_bytes(b"".join(_packet(set_id, kind, body) for kind, body in changed))


def falsify(file: Path) -> None:
    """Other recovery blocks, each with the right digest."""
    changed = [
        (kind, body[:-1] + bytes([body[-1] ^ 1]) if kind == _RECOVERS else body)
        for kind, body in _packets(file.read_bytes())
    ]
    set_id = file.read_bytes()[32:48]
    file.write_bytes(b"".join(_packet(set_id, kind, body) for kind, body in changed))


def damage_recovery_slices(file: Path, exponents: set[int]) -> None:
    """One bit of each recovery slice with one of these exponents."""
    data = file.read_bytes()
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at + 8)
        (exponent,) = struct.unpack_from("<I", data, at + 64)
        if data[at + 48 : at + 64] == _RECOVERS and exponent in exponents:
            overwrite(file, at + 100, bytes([data[at + 100] ^ 1]))
        at += length


def _packets(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at + 8)
        yield data[at + 48 : at + 64], data[at + 64 : at + length]
        at += length


def _packet(set_id: bytes, kind: bytes, body: bytes) -> bytes:
    rest = set_id + kind + body
    digest = hashlib.md5(rest).digest()  # noqa: S324
    return b"PAR2\0PKT" + struct.pack("<Q", len(rest) + 32) + digest + rest
