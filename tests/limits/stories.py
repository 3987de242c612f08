"""Everything that is done with a set, one command after the other, whatever is large about it."""

from pathlib import Path

from tests.engine.stories import App, tree
from tests.limits.scale import Cost, cost, remove


def whole_life(folder: Path, app: App, *, compare: bool = True) -> dict[str, Cost]:
    """Backup, list, show, verify, diff, restore of all and of one file; the restored tree is the source."""
    source = app.destination / "data[0001]"
    back = folder / "back"
    done = [
        cost("backup", folder, "backup", app.package),
        cost("list", folder, "list", app.package),
        cost("show", folder, "show", source),
        cost("show --tree", folder, "show", source, "--tree"),
        cost("verify", folder, "verify", source),
        cost("diff", folder, "diff", source, "live"),
        cost("restore", folder, "restore", source, "--to", back),
        cost(
            "restore of one file",
            folder,
            "restore",
            source,
            "--only",
            "Data/data.4DD",
            "--to",
            folder / "1",
        ),
    ]
    for one in done:
        assert one.code == 0, (one.what, one.err[-2000:])
        assert "Traceback" not in one.err
    if compare:
        found, wanted = tree(back / "Resources"), tree(app.package / "Resources")
        odd = [path for path in wanted if found.get(path) != wanted[path]]
        assert (len(found), odd) == (len(wanted), []), [
            (found.get(one), wanted[one]) for one in odd[:3]
        ]
    remove(back)
    remove(folder / "1")
    done.append(cost("backup again", folder, "backup", app.package))
    return {one.what: one for one in done}
