"""What can become of a file that lies on a disk: other bytes, fewer bytes, or something else under its name."""

import json
import os
import random
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.fuzz.mutate import odd_values

_SPARSE_BYTES = 1 << 30
_DEEP = 100_000


@dataclass(frozen=True, slots=True)
class Damage:
    """One way: `kind` for the figures, `name` to find it again, `do` with the file.

    `locks_out`: the program then works as an ordinary user who may not read it.
    """

    kind: str
    name: str
    do: Callable[[Path], None]
    locks_out: bool = False


def flips(content: bytes, most: int, some: random.Random) -> Iterator[Damage]:
    """One bit of every byte, or of so many of them."""
    places: range | list[int] = range(len(content))
    if len(content) > most:
        places = sorted(some.sample(places, most))
    for at in places:
        yield _other("flip", f"byte {at}", partial(_flipped, at=at, bit=1 << some.randrange(8)))


def cuts(content: bytes, most: int, some: random.Random) -> Iterator[Damage]:
    """Truncated at every length, or at so many."""
    lengths: range | list[int] = range(1, len(content))
    if len(content) > most:
        lengths = sorted(some.sample(lengths, most))
    for length in lengths:
        yield _other("cut", f"{length} bytes left", partial(_first, count=length))


def odd_contents(content: bytes) -> Iterator[Damage]:
    """What a crash, an editor or a stranger may leave."""
    zeros = bytes(len(content))
    half = len(content) // 2
    found = {
        "emptied": b"",
        "only zeros": zeros,
        "zeros from the middle on": content[:half] + zeros[half:],
        "zeros at the beginning": zeros[:half] + content[half:],
        "zeros behind": content + bytes(4096),
        "twice": content + content,
        "garbage": random.Random(1).randbytes(max(len(content), 100)),
        "a byte order mark": b"\xef\xbb\xbf" + content,
        "UTF-16": content.decode("utf-8", "replace").encode("utf-16"),
        "no UTF-8": content[:half] + b"\xff\xfe\xed\xa0\x80" + content[half:],
        "DOS line ends": content.replace(b"\n", b"\r\n"),
        "no line ends": content.replace(b"\n", b" "),
        "lists in lists": b"[" * _DEEP,
        "objects in objects": b'{"a":' * _DEEP,
        "lists in lists, closed": b"[" * 900 + b"]" * 900,
        "objects in objects, closed": b'{"a":' * 480 + b"1" + b"}" * 480,
        "elements in elements": b"<a>" * _DEEP,
        "a huge number": b"9" * 100_000,
        "one long line": b"x" * (1 << 20),
        "keys twice": content.replace(b"{", b'{"format": 1, "version": 1, "number": 9, ', 1),
        **{text: text.encode() for text in ("null", "true", "0", '"x"', "[]", "{}", "1e999")},
    }
    for name, changed in found.items():
        yield _other("odd content", name, partial(_instead, changed=changed))


def odd_json(content: bytes) -> Iterator[Damage]:
    """Each value of a JSON document replaced by each odd one, or gone; nothing for other files."""
    try:
        document = json.loads(content)
    except ValueError:
        return
    for at, changed in enumerate(odd_values(document)):
        try:
            json.dumps(changed)
        except ValueError:  # a number of too many digits
            continue
        yield _other("odd value", f"number {at}", partial(_odd_value, at=at))


def places() -> Iterator[Damage]:
    """Something else under its name."""
    ways: dict[str, Callable[[Path], None]] = {
        "gone": Path.unlink,
        "a folder": _folder,
        "a pipe": _pipe,
        "a loop of links": _loop,
        "a link to nothing": lambda file: _link(file, Path("/nowhere/at/all")),
        "a link to endless zeros": lambda file: _link(file, Path("/dev/zero")),
        "a socket": _socket,
        "a sparse gigabyte": _sparse,
        "a sparse gigabyte behind it": lambda file: os.truncate(file, _SPARSE_BYTES),
    }
    for name, do in ways.items():
        yield Damage("something else", name, do)
    yield Damage("something else", "not readable", lambda file: file.chmod(0), locks_out=True)


def _other(kind: str, name: str, change: Callable[[bytes], bytes]) -> Damage:
    """The content is that of the moment: what lies there may tell of inodes."""

    def do(file: Path) -> None:
        content = change(file.read_bytes())
        file.chmod(0o644)
        file.write_bytes(content)

    return Damage(kind, name, do)


def _flipped(content: bytes, *, at: int, bit: int) -> bytes:
    changed = bytearray(content)
    changed[min(at, len(changed) - 1)] ^= bit
    return bytes(changed)


def _first(content: bytes, *, count: int) -> bytes:
    return content[: min(count, len(content) - 1)]


def _instead(_: bytes, *, changed: bytes) -> bytes:
    return changed


def _odd_value(content: bytes, *, at: int) -> bytes:
    return json.dumps(odd_values(json.loads(content))[at]).encode()


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()
    (file / "inside").write_bytes(b"x")


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _loop(file: Path) -> None:
    _link(file, file)


def _link(file: Path, target: Path) -> None:
    file.unlink()
    file.symlink_to(target)


def _socket(file: Path) -> None:
    file.unlink()
    short = file.parent.parent / "s"  # a path of a socket has little room
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(short.parent)
        try:
            made.bind("s")
        finally:
            os.chdir(here)
    shutil.move(short, file)


def _sparse(file: Path) -> None:
    file.write_bytes(b"")
    os.truncate(file, _SPARSE_BYTES)
