"""How much recovery data a set gets, and exactly what that repairs. Pure.

PAR2 cuts the protected files into slices, each file into its own, and computes recovery slices of the same size; any of
them stands in for any slice that is lost. So what is repaired is a matter of counting the slices that damage can touch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.errors import Code, EngineError
from settings.model import Rate

# of the protected bytes, in percent: damage of that size in one piece is repaired wherever it begins
SHARES = {Rate.NONE: 0, Rate.LOW: 5, Rate.MEDIUM: 10, Rate.HIGH: 20}
# slices at least; the more there are, the less is lost with one bad sector, and the longer the computing takes
SLICES = {Rate.NONE: 100, Rate.LOW: 400, Rate.MEDIUM: 1000, Rate.HIGH: 2000}

# slices of whole sectors: no bad sector of a disk lies in two of them
SECTOR = 4096
_LARGEST_SLICE = 1 << 30  # par2 takes less than 4 GiB
_MOST_SLICES = 1 << 15  # PAR2 itself
_MOST_VOLUMES = 31  # par2cmdline
_PIECES = 4  # of the largest file at least, so that a small segment is not one slice
_PACKET = 68  # around a recovery slice
_PER_FILE = 512  # its packets, with a name of 255 bytes
_PER_SLICE = 20
_ONCE = 512


@dataclass(frozen=True, slots=True)
class Strength:
    """Recovery data for files of certain sizes: any `recovery_slices` of their `slices` may be lost."""

    protected_bytes: int
    files: int
    slice_bytes: int
    slices: int
    recovery_slices: int

    @property
    def burst_bytes(self) -> int:
        """The longest damage in one piece that is repaired wherever it begins: both ends may cut a slice."""
        return (self.recovery_slices - 1) * self.slice_bytes + 1

    @property
    def bad_sectors(self) -> int:
        """How many separate bad sectors of up to 4096 bytes are repaired wherever they are."""
        return self.recovery_slices

    @property
    def lost_file_bytes(self) -> int:
        """How large a file may be that is lost as a whole."""
        return self.recovery_slices * self.slice_bytes

    @property
    def stored_bytes(self) -> int:
        """Room for the recovery data, at most."""
        copies = 1 + _MOST_VOLUMES + self.recovery_slices.bit_length()
        return self.recovery_slices * (self.slice_bytes + _PACKET) + copies * self._description

    def volumes(self, largest_file: int | None) -> int:
        """Into how many files it goes, so that none is larger than `largest_file` where that can be."""
        if largest_file is None:
            return 1
        copies = self._description * self.recovery_slices.bit_length()
        in_one = max(1, (largest_file - copies) // (self.slice_bytes + _PACKET))
        return min(_MOST_VOLUMES, -(-self.recovery_slices // in_one))

    def is_repaired(self, bursts: Iterable[int]) -> bool:
        """Whether pieces of damage of these lengths, all in protected files, are repaired wherever they begin."""
        hit = sum(1 + -(-(length - 1) // self.slice_bytes) for length in bursts)
        return hit <= self.recovery_slices

    @property
    def _description(self) -> int:
        """What each copy of the packets that describe the files takes, at most."""
        return _ONCE + _PER_FILE * self.files + _PER_SLICE * self.slices


def guaranteed(sizes: Sequence[int], redundancy: Rate, interlacing: Rate) -> Strength | None:
    """What recovery data for files of these sizes is made of; None when none is asked for or there is nothing.

    Raises EngineError when PAR2 cannot protect so many files.
    """
    sizes = [size for size in sizes if size]
    if redundancy is Rate.NONE or not sizes:
        return None
    total = sum(sizes)
    slice_bytes = _slice_bytes(sizes, SLICES[interlacing])
    lost = -(-total * SHARES[redundancy] // 100)
    return Strength(
        protected_bytes=total,
        files=len(sizes),
        slice_bytes=slice_bytes,
        slices=_count(sizes, slice_bytes),
        recovery_slices=-(-lost // slice_bytes) + 1,
    )


def promised(redundancy: Rate, interlacing: Rate) -> tuple[int, int, int]:
    """(percent in one piece, bad sectors, for files of so many bytes or more in all): the table of the documentation.

    For smaller ones every 4096 bytes are a slice, and the bad sectors are that percentage of them and one more.
    """
    share, slices = SHARES[redundancy], SLICES[interlacing]
    return share, -(-share * slices // 100) + 1, slices * SECTOR


def _slice_bytes(sizes: Sequence[int], wanted: int) -> int:
    ideal = sum(sizes) // wanted // SECTOR * SECTOR
    largest = max(sizes)
    for pieces in (_PIECES, 1):
        limit = min(_LARGEST_SLICE, -(-largest // pieces // SECTOR) * SECTOR)
        slice_bytes = max(SECTOR, min(ideal, limit))
        if _count(sizes, slice_bytes) <= _MOST_SLICES:
            return slice_bytes
    raise EngineError(
        f"PAR2 cannot protect {len(sizes)} files of {sum(sizes) >> 20} MiB",
        hint="let the settings cut archives into larger segments (FileSegmentation/DefaultSize)",
        code=Code.DONE,
    )


def _count(sizes: Sequence[int], slice_bytes: int) -> int:
    return sum(-(-size // slice_bytes) for size in sizes)
