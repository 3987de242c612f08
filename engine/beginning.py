"""What a file is by its first bytes, in words, where it is not the log or the archive that it should be. Pure."""

from collections.abc import Callable

DATA_FILE = b"\x02\x44\x01\x44"
_KINDS = {
    DATA_FILE: "it is a data file of 4D",
    b"70KB": "it is an archive of 4D",
    b"GOl4ATAD": "it is a log of 4D, which `backup4d log` reads",
    b"GOL4ATAD": "it is a log of 4D, which `backup4d log` reads",
}
# fewer zeros can be the beginning of anything
_FEWEST_ZEROS = 16
_MOST_ZEROS = 1 << 20


def lost_words(read: Callable[[int, int], bytes], size: int) -> str:
    """Why nothing can be made of a file that is empty or begins with zeros; empty for all others."""
    if not size:
        return "it is empty"
    head = read(0, _MOST_ZEROS)
    zeros = len(head) - len(head.lstrip(b"\0"))
    if zeros < min(size, _FEWEST_ZEROS):
        return ""
    return f"its first {zeros} bytes are zeros: what was there is gone, or was never written"


def kind_words(head: bytes) -> str:
    """What else of 4D's a file is, empty when it is nothing that is known."""
    return next((words for tag, words in _KINDS.items() if head.startswith(tag)), "")
