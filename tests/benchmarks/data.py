"""Made-up 4D-like applications of any size: text records, numbers, empty pages and blobs that do not compress."""

import random
import struct
from dataclasses import dataclass
from pathlib import Path

_PAGE = 64 << 10
_SMALL_PAGE = 4 << 10
_MIB = 1 << 20
_IMAGES = 600
_METHODS = 4000
_WHOLE_BYTES = 512 * _MIB  # below it images and methods shrink with the data, to try things out
_STRETCH_BYTES = 64 * _MIB

_XML = """<?xml version="1.0" encoding="UTF-8"?>
<Preferences4D xmlns="http://www.4d.com/namespace/reserved/2004/backup"><Backup><Settings>
<Advanced><SetNumber><Enable>False</Enable></SetNumber>
<CompressionRate>{rate}</CompressionRate><CheckArchiveFileDuringBackup>{check}</CheckArchiveFileDuringBackup>
<Redundancy>{redundancy}</Redundancy><Interlacing>{interlacing}</Interlacing>
<FileSegmentation><DefaultSize>{segment_mib}</DefaultSize></FileSegmentation>
</Advanced><General><IncludeStructureFile>True</IncludeStructureFile>
<DestinationFolder>{destination}/</DestinationFolder>
<IncludesFiles><ItemsCount>2</ItemsCount><Item1>./{index}</Item1><Item2>./Resources/</Item2></IncludesFiles>
</General></Settings></Backup></Preferences4D>
"""


@dataclass(frozen=True, slots=True)
class Options:
    """The archive options of a measurement; every set is kept, so that rotation costs nothing."""

    rate: str = "Fast"
    check: bool = True
    segment_mib: int = 0
    redundancy: str = "None"
    interlacing: str = "None"


def write_settings(package: Path, destination: Path, options: Options) -> None:
    """Put the settings of a measurement in place; left alone when they are there already."""
    text = _XML.format(
        destination=destination,
        index=data_file(package).with_suffix(".4DIndx").relative_to(package),
        rate=options.rate,
        check=options.check,
        segment_mib=options.segment_mib,
        redundancy=options.redundancy,
        interlacing=options.interlacing,
    )
    file = package / "Settings" / "backup.4DSettings"
    file.parent.mkdir(exist_ok=True)
    if not file.exists() or file.read_text() != text:
        file.write_text(text)


def data_file(package: Path) -> Path:
    """The data file of an application."""
    return next(file for file in sorted(package.rglob("*")) if file.suffix.lower() == ".4dd")


def make_application(package: Path, data_bytes: int, *, seed: int = 1) -> None:
    """Make a package: the data file, an index of a twentieth, a log, 600 images and 4,000 methods."""
    source = random.Random(seed)
    _make_folders(package)
    words = _words(source)
    share = min(1.0, data_bytes / _WHOLE_BYTES)
    for number in range(int(_METHODS * share)):
        lines = [" ".join(source.choices(words, k=8)) for _ in range(source.randrange(5, 120))]
        name = f"method_{number:04d}.4dm"
        (package / "Project" / "Sources" / "Methods" / name).write_text("\r\n".join(lines))
    for number in range(int(_IMAGES * share)):
        image = package / "Resources" / "images" / f"image_{number:03d}.jpg"
        image.write_bytes(source.randbytes(source.randrange(250_000, 750_000)))
    _write_pages(package / "Data" / "data.4DD", data_bytes, source, words)
    _write_pages(package / "Data" / "data.4DIndx", data_bytes // 20, source, words)
    _write_pages(package / "Data" / "data.journal", min(data_bytes, 64 * _MIB), source, words)
    _finish(package)


def make_large_application(
    package: Path, data_bytes: int, *, stretch_bytes: int = _STRETCH_BYTES, seed: int = 1
) -> None:
    """A data file of any size and little else, made fast: one stretch again and again, every page of it numbered."""
    source = random.Random(seed)
    _make_folders(package)
    file = package / "Data" / "data.4DD"
    _write_pages(file, min(data_bytes, stretch_bytes), source, _words(source))
    stretch = bytearray(file.read_bytes())
    places = [at for at in range(0, len(stretch) - 7, _SMALL_PAGE) if any(stretch[at : at + 64])]
    number = 0
    with file.open("wb") as stream:
        for done in range(0, data_bytes, len(stretch)):
            for at in places:
                struct.pack_into("<Q", stretch, at, number)
                number += 1
            stream.write(memoryview(stretch)[: data_bytes - done])
    _finish(package)


def make_small_files(package: Path, count: int, total_bytes: int, *, seed: int = 1) -> None:
    """A project of so many text files, 100 in a folder, and a data file of one MiB."""
    source = random.Random(seed)
    _make_folders(package)
    words = _words(source)
    text = " ".join(source.choices(words, k=400_000)).encode()
    mean = total_bytes / count
    for number in range(count):
        folder = package / "Project" / "Sources" / "Forms" / f"form_{number // 100:04d}"
        if number % 100 == 0:
            folder.mkdir(parents=True)
        size = int(mean * source.uniform(0.1, 1.9))
        begin = source.randrange(max(1, len(text) - size))
        (folder / f"method_{number:06d}.4dm").write_bytes(text[begin : begin + size])
    _write_pages(package / "Data" / "data.4DD", _MIB, source, words)
    _finish(package)


def mutate(package: Path, number: int) -> None:
    """Change what a day changes: 1 % of the 4 KiB pages of data file and index, some growth, 20 project files."""
    source = random.Random(f"mutate {number}")
    fresh = _fresh_records(source)
    data = data_file(package)
    size = data.stat().st_size
    _change_pages(data, source, fresh)
    _append(data, fresh, size >> 8)
    index = data.with_suffix(".4DIndx")
    if index.exists():
        _change_pages(index, source, fresh)
    log = data.with_suffix(".journal")
    if log.exists():
        _append(log, fresh, size >> 9)
    files = sorted(file for file in (package / "Project").rglob("*") if file.is_file())
    for file in source.sample(files, min(20, len(files))):
        with file.open("ab") as stream:
            stream.write(b"// changed %d\r\n" % source.getrandbits(30))


def _change_pages(file: Path, source: random.Random, fresh: bytes) -> None:
    """One in a hundred pages, in clusters of 1 to 8; each begins with 8 bytes of its own."""
    pages = file.stat().st_size // _SMALL_PAGE
    left = max(1, pages // 100)
    with file.open("r+b", buffering=0) as stream:
        while left > 0 and pages > 8:
            run = min(left, source.randint(1, 8))
            stream.seek(source.randrange(pages - run) * _SMALL_PAGE)
            for _ in range(run):
                begin = 128 * source.randrange((len(fresh) - _SMALL_PAGE) // 128)
                stream.write(source.randbytes(8) + fresh[begin + 8 : begin + _SMALL_PAGE])
            left -= run


def _append(file: Path, fresh: bytes, count: int) -> None:
    with file.open("ab") as stream:
        while count > 0:
            stream.write(fresh[:count])
            count -= len(fresh)


def _make_folders(package: Path) -> None:
    for folder in ("Project/Sources/Methods", "Data", "Settings", "Resources/images", "Logs"):
        (package / folder).mkdir(parents=True, exist_ok=True)
    (package / "Project" / "Bench.4DProject").write_text("{}\n")


def _finish(package: Path) -> None:
    """The newest file is a tiny one: borg reads the newest again at every run, whatever it is."""
    (package / "Logs" / "newest.txt").write_text("made last\n")


def _words(source: random.Random) -> list[str]:
    letters = "abcdefghijklmnoprstuvw"
    return ["".join(source.choices(letters, k=source.randrange(2, 11))) for _ in range(6000)]


def _texts(source: random.Random, words: list[str], count: int) -> list[bytes]:
    return [" ".join(source.choices(words, k=6)).encode("utf-16-le") for _ in range(count)]


def _fresh_records(source: random.Random) -> bytes:
    texts = _texts(source, _words(source), 2000)
    return b"".join(_records(number, source, texts) for number in range(16))


def _write_pages(file: Path, size: int, source: random.Random, words: list[str]) -> None:
    """A seventh empty pages, a fifth blobs, the rest records; no two pages are equal."""
    texts = _texts(source, words, 20_000)
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
