"""A made-up 4D-like application of any size: text records, numbers, empty pages and blobs that do not compress."""

import random
import struct
from pathlib import Path

_PAGE = 64 << 10
_MIB = 1 << 20

SETTINGS = """<?xml version="1.0" encoding="UTF-8"?>
<Preferences4D xmlns="http://www.4d.com/namespace/reserved/2004/backup"><Backup><Settings>
<Advanced><CompressionRate>{rate}</CompressionRate><CheckArchiveFileDuringBackup>{check}</CheckArchiveFileDuringBackup>
</Advanced><General><IncludeStructureFile>True</IncludeStructureFile>
<DestinationFolder>{destination}/</DestinationFolder>
<IncludesFiles><ItemsCount>2</ItemsCount><Item1>./Data/data.4DIndx</Item1><Item2>./Resources/</Item2></IncludesFiles>
</General></Settings></Backup></Preferences4D>
"""


def write_settings(
    package: Path, destination: Path, *, rate: str = "Fast", check: bool = True
) -> None:
    """Put the settings of a measurement in place."""
    (package / "Settings").mkdir(exist_ok=True)
    text = SETTINGS.format(destination=destination, rate=rate, check=check)
    (package / "Settings" / "backup.4DSettings").write_text(text)


def make_application(package: Path, data_bytes: int, *, seed: int = 1) -> None:
    """Make a package: the data file, an index of a twentieth, a log, 600 images and 4,000 methods."""
    source = random.Random(seed)
    for folder in ("Project/Sources/Methods", "Data", "Settings", "Resources/images", "Logs"):
        (package / folder).mkdir(parents=True, exist_ok=True)
    (package / "Project" / "Bench.4DProject").write_text("{}\n")
    words = _words(source)
    for number in range(4000):
        lines = [" ".join(source.choices(words, k=8)) for _ in range(source.randrange(5, 120))]
        name = f"method_{number:04d}.4dm"
        (package / "Project" / "Sources" / "Methods" / name).write_text("\r\n".join(lines))
    for number in range(600):
        image = package / "Resources" / "images" / f"image_{number:03d}.jpg"
        image.write_bytes(source.randbytes(source.randrange(250_000, 750_000)))
    _write_pages(package / "Data" / "data.4DD", data_bytes, source, words)
    _write_pages(package / "Data" / "data.4DIndx", data_bytes // 20, source, words)
    _write_pages(package / "Data" / "data.journal", min(data_bytes, 64 * _MIB), source, words)


def _words(source: random.Random) -> list[str]:
    letters = "abcdefghijklmnoprstuvw"
    return ["".join(source.choices(letters, k=source.randrange(2, 11))) for _ in range(6000)]


def _write_pages(file: Path, size: int, source: random.Random, words: list[str]) -> None:
    """A seventh empty pages, a fifth blobs, the rest records; no two pages are equal."""
    texts = [" ".join(source.choices(words, k=6)).encode("utf-16-le") for _ in range(20_000)]
    with file.open("wb") as stream:
        for number in range(-(-size // _PAGE)):
            kind = source.random()
            if kind < 0.15:
                page = bytes(_PAGE)
            elif kind < 0.35:
                page = source.randbytes(_PAGE)
            else:
                page = _records(number, source, texts)
            stream.write(page[: min(_PAGE, size - number * _PAGE)])


def _records(number: int, source: random.Random, texts: list[bytes]) -> bytes:
    parts: list[bytes] = []
    length = 0
    while length < _PAGE:
        head = struct.pack("<IId", number, source.getrandbits(32), number * 0.25)
        record = head + source.choice(texts) + source.choice(texts)
        record += bytes(-len(record) % 128)
        parts.append(record)
        length += len(record)
    return b"".join(parts)[:_PAGE]
