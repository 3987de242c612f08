"""Where a restore takes a set from: its manifest, the folder of its archives, and what is known of both."""

from dataclasses import dataclass
from pathlib import Path

from engine.errors import DamagedError
from engine.headercheck import compare_headers
from engine.manifest import CHECKSUMS, Manifest, SetFacts, read_manifest
from engine.verify import check_manifest

_MOST_NAMED = 5
_SALVAGE = "backup4d restore --salvage brings back what the archive itself says"


@dataclass(frozen=True, slots=True)
class SetSource:
    """`archives` is the folder of the archive files, which is not the manifest's when that was rebuilt from them.

    `notes` are sentences about what is not as usual, and what is known all the same.
    """

    manifest: Manifest
    archives: Path
    notes: tuple[str, ...] = ()


def open_set(folder: Path) -> SetSource:
    """A set with its manifest. Raises MissingSetError, DamagedError, RefusedError.

    Without SHA256SUMS nothing vouches for the manifest: then its members are compared with the tar headers here,
    as their frames and digests always are.
    """
    manifest = read_manifest(folder)
    if not (folder / CHECKSUMS).exists():
        try:
            compare_headers(manifest, folder)
        except DamagedError as error:
            error.hint = _SALVAGE
            raise
        note = (
            f"{CHECKSUMS} is missing: manifest.json was compared with the archive instead; the log's name, owner "
            "and time could not be compared with anything"
        )
        return SetSource(manifest, folder, (note, *_lacking(manifest.facts)))
    try:
        check_manifest(folder)
    except DamagedError as error:
        error.hint = _SALVAGE
        raise
    return SetSource(manifest, folder, _lacking(manifest.facts))


def _lacking(facts: SetFacts) -> tuple[str, ...]:
    """What a partial set does not hold, though it was asked for."""
    if facts.complete:
        return ()
    lacking = [*facts.missing, *(path for path, _ in facts.skipped)]
    named = ", ".join(lacking[:_MOST_NAMED])
    more = f" and {len(lacking) - _MOST_NAMED} more" if len(lacking) > _MOST_NAMED else ""
    return (f"set {facts.number} is partial: {named}{more} could not be saved and is not in it",)
