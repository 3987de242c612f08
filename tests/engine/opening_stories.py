"""What the stories about opening checks are told with: data files with 4D's header, and what damages them."""

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.datalook import Seen
from tests.engine.logs import DATALINK, changes, data_file, link_block, log
from tests.engine.stories import App, make_app

AUTOMATIC = {"Advanced/AutomaticRestore": "True"}
NEVER = {"Advanced/AutomaticRestore": "False"}
NO_RESTART = {**AUTOMATIC, "Advanced/AutomaticRestart": "False"}
USED = 230400
SIZE = 262144
IDENTITY = bytes(range(100, 116))


def real_data(last: int = 10, *, size: int = SIZE, used: int = USED, seed: int = 1) -> bytes:
    """A data file as a look meets it: header, block of its log, and something all over its used part."""
    content = bytearray(data_file(last, [link_block(DATALINK)], size))
    content[24:40] = IDENTITY
    struct.pack_into("<q", content, 40, used)
    noise = random.Random(seed)
    for at in range(4096, min(used, size) - 64, 512):
        if not 84_000 < at < 87_000:
            content[at : at + 64] = noise.randbytes(64)
    return bytes(content)


def database(folder: Path, changed: dict[str, str] | None = None, **how: Any) -> App:
    """A small application with such a data file at operation 10 and a log up to 15."""
    app = make_app(folder, AUTOMATIC if changed is None else changed, data=real_data(), **how)
    app.log.write_bytes(log(*changes(1, 15)))
    return app


def work(app: App, last: int) -> None:
    """4D adds operations: the data go on, the log as well."""
    app.data_file.write_bytes(real_data(last, size=SIZE + 512 * last, seed=last))
    app.log.write_bytes(log(*changes(1, last)))


def seen(**changed: Any) -> Seen:
    """What a look at such a data file gives."""
    places = tuple(range(4096, 4096 * 13, 4096))
    facts: dict[str, Any] = {
        "size": SIZE,
        "used": USED,
        "last": 10,
        "datalink": DATALINK,
        "identity": IDENTITY,
        "places": places,
    }
    return Seen(**{**facts, **changed})


# --- damage -----------------------------------------------------------------------------------------


def _missing(file: Path) -> None:
    file.unlink()


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _zero_header(file: Path) -> None:
    file.write_bytes(bytes(4096) + file.read_bytes()[4096:])


def _wrong_header(file: Path) -> None:
    file.write_bytes(b"PK\3\4" + file.read_bytes()[4:])


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100_000])


def _cut_to_a_stub(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:20])


def _zeroed(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:4096] + bytes(len(content) - 4096))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "missing": _missing,
    "folder": _folder,
    "empty": _empty,
    "zero header": _zero_header,
    "wrong header": _wrong_header,
    "cut": _cut,
    "cut to a stub": _cut_to_a_stub,
    "zeroed": _zeroed,
}


# --- doubts -----------------------------------------------------------------------------------------


def _compacted(file: Path) -> None:
    file.write_bytes(real_data(10, size=SIZE // 2, used=USED // 2 // 128 * 128))


def _older(file: Path) -> None:
    file.write_bytes(real_data(3))


def _other_file(file: Path) -> None:
    content = bytearray(real_data(10))
    content[24:40] = bytes(16)
    file.write_bytes(content)


def _partly_zeros(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[100_000:140_000] = bytes(40_000)
    file.write_bytes(content)


def _ahead_of_its_log(file: Path) -> None:
    file.write_bytes(real_data(20))


def _log_missing(file: Path) -> None:
    file.with_suffix(".journal").unlink()


def _log_of_another(file: Path) -> None:
    file.with_suffix(".journal").write_bytes(log(*changes(1, 15), datalink=bytes(16)))


def _log_damaged(file: Path) -> None:
    file.with_suffix(".journal").write_bytes(b"no log at all, and long enough")


DOUBTS: dict[str, Callable[[Path], None]] = {
    "compacted": _compacted,
    "older": _older,
    "other file": _other_file,
    "partly zeros": _partly_zeros,
    "ahead of its log": _ahead_of_its_log,
    "log missing": _log_missing,
    "log of another": _log_of_another,
    "log damaged": _log_damaged,
}
