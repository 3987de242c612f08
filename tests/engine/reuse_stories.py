"""What the stories about taking over are told with."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.codec import Compressor
from tests.engine.stories import (
    FRAME,
    App,
    judge,
    make_app,
    pass_a_day,
    patterned,
    restored,
    verified,
)

SIZE = 6 * FRAME + 100
BLOCKS = tuple(patterned(FRAME, seed) for seed in range(4))


class Compressed(list[int]):
    """The lengths of all blocks that were compressed while it looked on."""


@contextmanager
def counting() -> Iterator[Compressed]:
    seen, lock, original = Compressed(), threading.Lock(), Compressor.compress

    def compress(self: Compressor, block: memoryview) -> bytes | memoryview:
        with lock:
            seen.append(len(block))
        return original(self, block)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Compressor, "compress", compress)
        yield seen


def app_with_data(folder: Path, changes: dict[str, str] | None = None) -> App:
    return make_app(folder, changes, data=patterned(SIZE))


def overwrite(file: Path, offset: int, data: bytes) -> None:
    with file.open("r+b") as stream:
        stream.seek(offset)
        stream.write(data)


def next_set(app: App) -> tuple[Path, int]:
    """The next day's set and how many full frames were compressed for it."""
    pass_a_day(app)
    with counting() as compressed:
        folder = app.backup_set()
    return folder, sum(length >= FRAME for length in compressed)


def assert_whole(folder: Path, app: App, target: Path) -> None:
    assert verified(folder).good
    judge("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=folder)
    restored(folder, target)
    assert (target / "Data" / "data.4DD").read_bytes() == app.data_file.read_bytes()


def vouch_for(folder: Path) -> None:
    """SHA256SUMS as if the manifest had always been like this."""
    names = [line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()]
    (folder / "SHA256SUMS").write_bytes(judge("sha256sum", *names, cwd=folder))
