"""What the settings ask for and archives of 4D's format are not written with, because nobody knows how 4D does it.

It is done in the next best way and said, at every backup and by `settings check`: a set in one piece is worth more
than none.
"""

from collections.abc import Iterator
from dataclasses import replace

from engine.fourd.codec import is_compiled
from settings.model import CompressionRate, Finding, Rate, Settings, Severity
from settings.reader import Reading
from settings.service_model import ArchiveFormat


def for_archives(reading: Reading, archives: ArchiveFormat) -> tuple[Reading, tuple[str, ...]]:
    """The settings that sets of this format are made with, and notes on what is done otherwise."""
    if archives is ArchiveFormat.TAR:
        return reading, ()
    settings = replace(reading.settings, segment_bytes=None)
    if settings.compression is CompressionRate.COMPACT:
        settings = replace(settings, compression=CompressionRate.FAST)
    notes = tuple(
        f"Settings : {one.element.rpartition('Advanced/')[2]} {one.read}: {one.why}"
        for one in findings_for(reading.settings, archives)
        if one.severity is Severity.WARNING
    )
    slow = slow_packing(settings, archives)
    told = (f"Archive format : {slow}",) if slow else ()
    return replace(reading, settings=settings), (*notes, *told)


def findings_for(settings: Settings, archives: ArchiveFormat) -> Iterator[Finding]:
    """One for each setting that is not done as it is written."""
    if archives is ArchiveFormat.TAR:
        return
    if settings.segment_bytes is not None:
        yield Finding(
            Severity.WARNING,
            "Settings/Advanced/FileSegmentation/DefaultSize",
            None,
            str(settings.segment_bytes >> 20),
            "one file",
            "with ArchiveFormat 4BK archives are not cut: how 4D writes segments is not known. For segments, take"
            " ArchiveFormat tar",
        )
    if settings.compression is CompressionRate.COMPACT:
        yield Finding(
            Severity.WARNING,
            "Settings/Advanced/CompressionRate",
            None,
            settings.compression.value,
            CompressionRate.FAST.value,
            "with ArchiveFormat 4BK it is packed as Fast: how 4D packs Compact is not known",
        )
    if settings.redundancy is not Rate.NONE:
        yield Finding(
            Severity.NOTE,
            "Settings/Advanced/Redundancy",
            None,
            settings.redundancy.value,
            "PAR2 files",
            "recovery data lies beside the archives as PAR2 files, as with our own format: 4D does not use it",
        )


def slow_packing(settings: Settings, archives: ArchiveFormat) -> str:
    """Says that archives are packed slowly here; empty where they are not."""
    if archives is ArchiveFormat.TAR or settings.compression is CompressionRate.NONE:
        return ""
    if is_compiled():
        return ""
    return (
        "archives of 4D's format are packed in plain Python, at 2 MB/s: install wasmtime (docs/4d-archives.md), or"
        " set CompressionRate to None"
    )
