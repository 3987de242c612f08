"""The checksum that 4D writes into its blocks and rows: the whole 32-bit words of it, XORed. Pure."""

from collections.abc import Iterable

_WORD_BITS = 32
_WORD_BYTES = 4


def xor_words(content: bytes) -> int:
    """All whole words of it XORed; bytes behind the last one count for nothing, as 4D does it."""
    words = len(content) // _WORD_BYTES
    value = int.from_bytes(content[: words * _WORD_BYTES], "little")
    # halves laid upon one another, until one word is left: some steps for a row, whatever its length
    width = _WORD_BITS << max(0, (words - 1).bit_length())
    while width > _WORD_BITS:
        width //= 2
        value = (value >> width) ^ (value & ((1 << width) - 1))
    return value


def xor_pieces(pieces: Iterable[bytes]) -> int:
    """The same of pieces that each but the last have whole words."""
    value = 0
    for piece in pieces:
        value ^= xor_words(piece)
    return value
