"""A page beside the replaced files that undoes a restore in place by hand: a shell script that an administrator can read."""

import shlex
from pathlib import Path

from engine.swap import Swap

WAY_BACK = "HOW TO GO BACK.txt"
_HEAD = """\
# A restore in place put other files in the place of those in this folder. To go back: stop 4D, then, as root or as
# the user of 4D, type
#     sh {name}
# What the restore had brought goes to "went back" in this folder. Nothing is written over: it stops at the first doubt.
# When all is well with the restore, remove this whole folder instead.
set -e
move() {{
    if [ -e "$2" ] || [ -L "$2" ]; then echo "$2 is there already; stopped" >&2; exit 1; fi
    mv -- "$1" "$2"
}}
mkdir -- {went}
"""


def render_way_back(folder: Path, swap: Swap) -> str:
    """Every move that was made, backwards."""
    went = folder / "went back"
    lines = [_HEAD.format(name=_quoted(folder / WAY_BACK), went=_quoted(went))]
    for number, one in reversed(list(enumerate(swap.exchanges, 1))):
        if one.fresh is not None:
            kept = went / f"{number:04d} {one.live.name}"
            lines.append(f"move {_quoted(one.live)} {_quoted(kept)}\n")
        if one.had_live:
            lines.append(f"move {_quoted(one.aside)} {_quoted(one.live)}\n")
    lines.append('echo "everything is as it was before the restore"\n')
    return "".join(lines)


def write_way_back(folder: Path, swap: Swap) -> None:
    """Write it into the folder of replaced files, when something was replaced. Raises OSError."""
    if any(one.had_live for one in swap.exchanges):
        text = render_way_back(folder, swap)
        (folder / WAY_BACK).write_bytes(text.encode("utf-8", "surrogateescape"))


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
