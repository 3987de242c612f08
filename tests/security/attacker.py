"""Somebody who owns a folder the program works in, and swaps what lies there while it works: a process of its own.

    attacker.py replace FOLDER PREFIX VICTIM   each folder that appears under the prefix becomes a link to VICTIM
    attacker.py flicker FOLDER PREFIX VICTIM   the same, and back, and again, as fast as the kernel can
    attacker.py trade ONE OTHER                two names are exchanged, again and again

It says "ready", and then how often it struck: the test kills it. Nothing of the program is imported here.
"""

import ctypes
import itertools
import sys
import time
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD, _EXCHANGE = -100, 2


def trade(one: Path, other: Path) -> bool:
    """Each gets the name of the other at once."""
    found: int = _LIBC.renameat2(_AT_FDCWD, bytes(one), _AT_FDCWD, bytes(other), _EXCHANGE)
    return found == 0


def _found(folder: Path, prefix: str, known: set[Path]) -> list[Path]:
    try:
        paths = [path for path in folder.iterdir() if path.name.startswith(prefix)]
    except OSError:
        return []
    return [path for path in paths if path not in known and path.is_dir() and not path.is_symlink()]


def _strike(path: Path, victim: str, number: int) -> Path | None:
    """The name that the real one has now; None when it was gone already."""
    hidden = path.with_name(f"stolen-{number}")
    try:
        hidden.symlink_to(victim)
    except OSError:
        return None
    if trade(path, hidden):
        return hidden
    hidden.unlink()
    return None


def main() -> None:
    mode, *arguments = sys.argv[1:]
    print("ready", flush=True)
    if mode == "trade":
        for count in itertools.count(1):
            trade(Path(arguments[0]), Path(arguments[1]))
            if count % 1000 == 0:
                print(count, flush=True)
    folder, prefix, victim = arguments
    known: set[Path] = set()
    for number in itertools.count():
        for path in _found(Path(folder), prefix, known):
            known.add(path)
            hidden = _strike(path, victim, number)
            print(path, flush=True)
            end = time.monotonic() + 20
            while hidden and mode == "flicker" and time.monotonic() < end:
                if not trade(path, hidden):
                    break


if __name__ == "__main__":
    main()
