"""LZRW3-A as 4D uses it, in plain Python: what is meant, and what works everywhere; compiled.py is fast.

A table of 4096 slots, 512 partitions of 8, holds places that were met before; a copy names a slot and a length.
Who packs and who unpacks fill the table in the same way: a place goes to the partition of its three bytes, and one
counter for the whole table says to which of the 8 slots.
"""

_SLOTS = 4096
_INITIAL = b"123456789012345678"
_START = len(_INITIAL)
_LONGEST = 18
_FLAG_BYTES = 4


class NotThatStreamError(ValueError):
    """The bytes are no LZRW3-A stream, or one of more bytes than there may be."""


def decode(stored: bytes, room: int) -> bytes:
    """The plain bytes of one block, at most `room`. Raises NotThatStreamError."""
    if len(stored) < _FLAG_BYTES or any(stored[:_FLAG_BYTES]):
        raise NotThatStreamError
    try:
        return _decode(stored, room + _START)
    except IndexError as error:
        raise NotThatStreamError from error


def _decode(stored: bytes, full: int) -> bytes:  # noqa: C901, PLR0912, PLR0915 - one loop, for speed
    out = bytearray(_INITIAL)
    table = [0] * _SLOTS
    at, end = _FLAG_BYTES, len(stored)
    cycle = pending = 0
    control = 1
    while at < end:
        if control == 1:
            control = 0x10000 | stored[at] | stored[at + 1] << 8
            at += 2
            continue
        if control & 1:
            first, slot = stored[at], stored[at + 1]
            at += 2
            slot |= (first & 0xF0) << 4
            start = len(out)
            source, count = table[slot], (first & 15) + 3
            if start + count > full:
                raise NotThatStreamError
            apart = start - source
            if apart >= count:
                out += out[source : source + count]
            else:
                piece = out[source:start]
                out += (piece * (count // apart + 1))[:count]
            for place in range(start - pending, start):
                table[_partition(out, place) + cycle] = place
                cycle = (cycle + 1) & 7
            pending = 0
            table[(slot & 0xFF8) + cycle] = start
            cycle = (cycle + 1) & 7
        else:
            out.append(stored[at])
            at += 1
            if pending == 2:
                place = len(out) - 3
                mixed = out[place] << 8 ^ out[place + 1] << 4 ^ out[place + 2]
                table[(40543 * mixed >> 1) & 0xFF8 | cycle] = place
                cycle = (cycle + 1) & 7
            else:
                pending += 1
        control >>= 1
    if len(out) > full:
        raise NotThatStreamError
    return bytes(out[_START:])


def encode(plain: bytes) -> bytes:  # noqa: PLR0912, PLR0915 - one loop, for speed
    """The stored bytes of one block: packed when that is smaller, else as they are."""
    given = _INITIAL + plain
    table = [0] * _SLOTS
    packed = bytearray(_FLAG_BYTES + 2)
    words, control, items = _FLAG_BYTES, 0, 0
    cycle = pending = 0
    at, end = _START, len(given)
    while at < end:
        if len(packed) > len(plain):
            return plain
        length, slot = _longest(given, at, table) if end - at >= _LONGEST else (0, 0)
        if length:
            packed += bytes(((slot >> 4) & 0xF0 | length - 3, slot & 0xFF))
            control |= 1 << items
            for place in range(at - pending, at):
                table[_partition(given, place) + cycle] = place
                cycle = (cycle + 1) & 7
            pending = 0
            table[(slot & 0xFF8) + cycle] = at
            cycle = (cycle + 1) & 7
            at += length
        else:
            packed.append(given[at])
            at += 1
            if pending == 2:
                table[_partition(given, at - 3) + cycle] = at - 3
                cycle = (cycle + 1) & 7
            else:
                pending += 1
        items += 1
        if items == 16:
            packed[words : words + 2] = control.to_bytes(2, "little")
            words, control, items = len(packed), 0, 0
            packed += b"\0\0"
    if items:
        # the bits that stand for nothing are ones
        packed[words : words + 2] = (control | 0xFFFF << items & 0xFFFF).to_bytes(2, "little")
    else:
        del packed[-2:]
    return bytes(packed) if len(packed) < len(plain) else plain


def _longest(given: bytes, at: int, table: list[int]) -> tuple[int, int]:
    """The longest copy, the first of equal ones, and its slot; 0 when none has three bytes."""
    partition = _partition(given, at)
    best, best_slot = 2, 0
    wanted = given[at : at + 3]
    for slot in range(partition, partition + 8):
        source = table[slot]
        if given[source : source + 3] != wanted or given[source + best] != given[at + best]:
            continue
        length = 3
        while length < _LONGEST and given[source + length] == given[at + length]:
            length += 1
        if length > best:
            best, best_slot = length, slot
            if length == _LONGEST:
                break
    return (best, best_slot) if best > 2 else (0, 0)


def _partition(content: bytes | bytearray, at: int) -> int:
    """The first slot of the partition for the three bytes here."""
    mixed = content[at] << 8 ^ content[at + 1] << 4 ^ content[at + 2]
    return (40543 * mixed >> 1) & 0xFF8
