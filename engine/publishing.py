"""One rename makes a whole set appear; the folder must still be the one the plan was made for."""

from pathlib import Path

from engine.errors import DestinationError
from engine.sets import set_name, show_set


def publish_set(staging: Path, inside: Path, destination: Path, base: str, number: int) -> Path:
    """Show the set that was written in `staging`, which is held as `inside`; its folder.

    Raises DestinationError, OSError.
    """
    if not destination.samefile(staging.parent):
        raise DestinationError(
            f"{destination} is not the folder it was when the backup began: it was unmounted or replaced",
            hint="mount the volume again; the set was not published",
        )
    if not staging.samefile(inside) or staging.is_symlink():
        raise DestinationError(
            f"{destination / staging.name}, in which the set was written, was replaced by something else",
            hint="see who else works in the backup folder; the set was not published",
        )
    name = set_name(base, number)
    show_set(staging, staging.with_name(name))
    return destination / name
