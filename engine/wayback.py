"""A page beside the replaced files that undoes a restore in place by hand: a shell script that an administrator can read."""

import os
import shlex
from pathlib import Path

from engine.files import give_to_owner_of
from engine.swap import Swap

WAY_BACK = "HOW TO GO BACK.txt"
_HEAD = """\
# A restore in place put other files in the place of those in this folder. To go back: stop 4D, then, as root or as
# the user of 4D, type
#     sh {name}
# What the restore had brought goes to "went back" in this folder. Nothing is written over: it stops at the first doubt.
# When it was stopped half-way, type it again. When all is well with the restore, remove this whole folder instead.
set -e
there() {{ [ -e "$1" ] || [ -L "$1" ]; }}
stop() {{ echo "$1; stopped" >&2; exit 1; }}
# its place, what was there before the restore, where to put what the restore brought; '' stands for nothing
back() {{
    if [ -n "$2" ] && ! there "$2"; then
        if there "${{3:-$1}}"; then return; fi # moved by an earlier run
        stop "$2 is not there"
    fi
    if [ -n "$3" ] && ! there "$3"; then mv -- "$1" "$3"; fi
    if [ -z "$2" ]; then return; fi
    if there "$1"; then stop "$1 is there already"; fi
    mv -- "$2" "$1"
}}
mkdir -p -- {went}
"""


def render_way_back(folder: Path, swap: Swap) -> str:
    """Every move that was made, backwards."""
    went = folder / "went back"
    lines = [_HEAD.format(name=_quoted(folder / WAY_BACK), went=_quoted(went))]
    for number, one in reversed(list(enumerate(swap.exchanges, 1))):
        before = _quoted(one.aside) if one.had_live else "''"
        kept = "''" if one.fresh is None else _quoted(went / f"{number:04d} {one.live.name}")
        lines.append(f"back {_quoted(one.live)} {before} {kept}\n")
    lines.append('echo "everything is as it was before the restore"\n')
    return "".join(lines)


def write_way_back(folder: Path, swap: Swap) -> None:
    """Write it into the folder of replaced files, when something was replaced. Raises OSError."""
    if any(one.had_live for one in swap.exchanges):
        text = render_way_back(folder, swap)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(folder / WAY_BACK, flags, 0o640), "wb") as stream:
            stream.write(text.encode("utf-8", "surrogateescape"))
            give_to_owner_of(folder, stream.fileno())


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
