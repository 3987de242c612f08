"""`python -m tests.benchmarks.fourd`: how fast archives of 4D are unpacked and packed, with and without the extra."""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from engine.fourd.archive import archive_opened, verify_archive, verify_stored
from engine.fourd.blockstream import Packing
from engine.fourd.codec import BlockCodec, PlainCodec, make_codec
from engine.fourd.container import LARGEST
from engine.fourd.extract import Wish, extract_archive
from engine.fourd.listing import Entry
from engine.fourd.reading import Reading, Way
from engine.fourd.writer import ArchiveWriter
from engine.logfile import ByteReader
from engine.stop import StopRequest
from tests.engine.fourd_stories import Collected, content
from tests.engine.logs import Bytes
from tests.engine.stories import CORPUS

_MIB = 1 << 20


def sample(size: int) -> bytes:
    """Content of real data files, over and over; made-up content where the corpus is not there."""
    parts: list[bytes] = []
    for file in sorted((CORPUS / "archives").glob("*.4BK")):
        taken = Collected()
        Reading(Bytes(file.read_bytes()), taken, Way(1, StopRequest())).run()
        parts += [bytes(body) for body in taken.files]
    joined = b"".join(parts) or content(2 * _MIB)
    return (joined * (size // len(joined) + 1))[:size]


def best(times: int, act: Callable[[], object]) -> float:
    """The shortest of so many runs, in seconds."""
    found: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        found.append(time.perf_counter() - began)
    return min(found)


def main() -> int:
    """Print one line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=256, help="content for the compiled codec")
    parser.add_argument("--plain-mib", type=int, default=8, help="content for plain Python")
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    fast = make_codec()
    _blocks(fast, asked.mib, asked.runs)
    _blocks(PlainCodec(), asked.plain_mib, 1)
    with tempfile.TemporaryDirectory(prefix="backup4d-bench-4bk-") as folder:
        place = Path(folder)
        _whole(place, fast.name, make_codec, asked.mib, asked.runs)
        _whole(place, "plain Python", PlainCodec, asked.plain_mib, 1)
    _start()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory of this benchmark: {peak / 1024:.0f} MiB")
    return 0


def _blocks(codec: BlockCodec, mib: int, runs: int) -> None:
    """The codec alone, on one core."""
    given = sample(min(mib, 32) * _MIB)
    plain = [given[at : at + LARGEST] for at in range(0, len(given), LARGEST)]
    stored = codec.encode(plain)
    packed = [one for one, whole in zip(stored, plain, strict=True) if len(one) < len(whole)]
    size = sum(map(len, plain))
    unpacked = sum(len(one or b"") for one in codec.decode(packed))
    _say(
        f"{codec.name}: unpacking alone, 1 core", unpacked, best(runs, lambda: codec.decode(packed))
    )
    _say(f"{codec.name}: packing alone, 1 core", size, best(runs, lambda: codec.encode(plain)))


def _whole(place: Path, name: str, make: Callable[[], BlockCodec], mib: int, runs: int) -> None:
    """Archives on the disk: written, verified, extracted; with one worker and with two."""
    given = sample(mib * _MIB)
    file = place / "data[0001].4BK"
    for workers in (1, 2) if make is not PlainCodec else (1,):
        _measure(f"{name}, {workers} worker(s)", file, given, Packing(workers, make), runs)
    print(f"  {mib} MiB in {file.stat().st_size / _MIB:.1f} MiB")


def _measure(name: str, file: Path, given: bytes, packing: Packing, runs: int) -> None:
    size = len(given)
    way = Way(packing.workers, StopRequest(), make=packing.make)
    _say(f"{name}: archive written", size, best(runs, lambda: _write(file, given, packing)))
    with archive_opened(file) as reader:
        _say(f"{name}: verify", size, best(runs, lambda: verify_archive(reader, way)))
        _say(f"{name}: extract", size, best(runs, lambda: _extract(file.parent, reader, way)))
        took = best(runs, lambda: verify_stored(reader, way))
        _say(f"{name}: verify --quick, MB of archive", reader.size, took)


def _write(file: Path, given: bytes, packing: Packing) -> None:
    with (
        file.open("wb") as out,
        ArchiveWriter(out, [Entry("./a::", len(given))], packing) as writer,
    ):
        writer.write(given)
        writer.finish()


def _extract(place: Path, reader: ByteReader, way: Way) -> None:
    target = place / f"new {os.urandom(4).hex()}"
    extract_archive(reader, target, Wish(), way)
    (target / "a").unlink()
    target.rmdir()


def _start() -> None:
    """What the extra costs when a command begins."""
    for module in ("engine.fourd.lzrw3a", "engine.fourd.compiled"):
        took = best(5, partial(_load, module))
        print(f"{'a process that loads ' + module:<52}{took * 1000:>8.0f} ms")


def _load(module: str) -> None:
    code = f"import {module} as m; getattr(m, 'CompiledCodec', int)()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def _say(what: str, size: int, seconds: float) -> None:
    print(f"{what:<52}{size / 1e6 / seconds:>8.1f} MB/s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
