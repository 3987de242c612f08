"""What a restore says on the screen: the plan, what came back, what did not, and what to do next."""

from pathlib import Path
from typing import Any

from engine.errors import Exit
from engine.inplaceplan import InPlacePlan
from engine.restore import Restored, RestorePlan
from engine.restorelogs import LogPlacing
from engine.salvage import Salvaged
from engine.selection import Selection
from engine.setsource import SetSource
from engine.wayback import WAY_BACK
from scheduler.screen import count_words, say, say_json, size_words, warn

_MOST_SHOWN = 10


def say_restored(
    restored: Restored,
    folder: Path,
    selection: Selection,
    *,
    in_place: bool = False,
    is_of_database: bool,
    as_json: bool,
) -> int:
    """What came back, and what to do with it; the code says when something that was shipped did not."""
    is_whole = selection.is_everything
    lacks = restored.logs is not None and restored.logs.plan.lacks_shipped
    code = Exit.PARTIAL if lacks else Exit.DONE
    if as_json:
        say_json(
            {
                "number": restored.number,
                "set": str(folder),
                "target": str(restored.target),
                "in_place": in_place,
                "set_aside": None if restored.aside is None else str(restored.aside),
                "files": restored.files,
                "content_bytes": restored.content_bytes,
                "compared": True,
                "whole": is_whole,
                "notes": list(restored.notes),
                "log": _log_row(restored.logs),
            }
        )
        return code
    what = f"set {restored.number}" if is_whole else f"part of set {restored.number}"
    where = f"in place in {restored.target}" if in_place else f"to {restored.target}"
    say(
        f"{what} restored {where}: {count_words(restored.files, 'file')}, "
        f"{size_words(restored.content_bytes)}, every file compared with its digest"
    )
    for note in restored.notes:
        say(f"note: {note}")
    _say_logs(restored.logs)
    if restored.aside is not None:
        say(f"what was there before is in {restored.aside}")
    if in_place and restored.aside is not None:
        say(f"to go back: sh '{restored.aside}/{WAY_BACK}'; when all is well, remove that folder")
    elif is_whole and not in_place:
        say("to use it: stop 4D, and put this folder in the place of the application")
        if not is_of_database:
            say("give it to the user that runs 4D first: chown -R USER:GROUP")
    return code


def say_plan(plan: RestorePlan, folder: Path, *, as_json: bool) -> int:
    """What a restore into a new folder would do."""
    if as_json:
        say_json(
            {
                "number": plan.number,
                "set": str(folder),
                "target": str(plan.target),
                "files": plan.files,
                "content_bytes": plan.content_bytes,
                "free_bytes": plan.free,
                "set_aside": None if plan.aside is None else str(plan.aside),
                "obstacle": plan.obstacle,
                "notes": list(plan.notes),
                "log": _log_row(plan.logs),
            }
        )
        return Exit.DONE if plan.obstacle is None else Exit.FAILED
    say(f"from    set {plan.number}, {folder}")
    say(f"to      {plan.target} (new; the live application is not touched)")
    if plan.aside is not None:
        say(f"aside   what is at {plan.target} now would be renamed to {plan.aside}")
    say(
        f"writes  {count_words(plan.files, 'file')}, {size_words(plan.content_bytes)}; {size_words(plan.free)} free there"
    )
    for note in plan.notes:
        say(f"note    {note}")
    _say_logs(plan.logs)
    if plan.obstacle is not None:
        warn(f"it would be refused: {plan.obstacle}")
    say("nothing was written")
    return Exit.DONE if plan.obstacle is None else Exit.FAILED


def say_in_place_plan(
    plan: InPlacePlan, source: SetSource, obstacle: str | None, *, as_json: bool
) -> int:
    """What a restore in place would do."""
    number = source.manifest.facts.number
    if as_json:
        say_json(
            {
                "number": number,
                "set": str(source.archives),
                "in_place": True,
                "replaces": [str(top.live) for top in plan.tops],
                "set_aside": str(plan.aside),
                "content_bytes": plan.content_bytes,
                "obstacle": obstacle,
                "notes": list(source.notes),
                "log": _log_row(plan.logs),
            }
        )
        return Exit.DONE if obstacle is None else Exit.FAILED
    say(f"from    set {number}, {source.archives}")
    for top in plan.tops[:_MOST_SHOWN]:
        say(f"in      {top.live}")
    if len(plan.tops) > _MOST_SHOWN:
        say(f"in      and {len(plan.tops) - _MOST_SHOWN} more places")
    say(f"aside   what is there now, to {plan.aside}")
    say(f"writes  {size_words(plan.content_bytes)}")
    for note in source.notes:
        say(f"note    {note}")
    _say_logs(plan.logs)
    if obstacle is not None:
        warn(f"it would be refused: {obstacle}")
    say("nothing was written")
    return Exit.DONE if obstacle is None else Exit.FAILED


def say_salvaged(salvaged: Salvaged, *, as_json: bool) -> int:
    """What could be brought back of a damaged set."""
    is_whole = not (salvaged.damaged or salvaged.unproved or salvaged.problems)
    code = Exit.DONE if is_whole else Exit.PARTIAL
    if as_json:
        say_json(
            {
                "number": salvaged.number,
                "target": str(salvaged.target),
                "whole": salvaged.whole,
                "damaged": salvaged.damaged,
                "unproved": salvaged.unproved,
                "lost_bytes": salvaged.lost_bytes,
                "report": str(salvaged.report),
                "problems": list(salvaged.problems),
                "notes": list(salvaged.notes),
            }
        )
        return code
    lost = f"{size_words(salvaged.lost_bytes)} of their content are lost"
    say(
        f"salvaged to {salvaged.target}: {salvaged.whole} whole, "
        f"{salvaged.damaged} not whole{'; ' + lost if salvaged.damaged else ''}"
    )
    if salvaged.unproved:
        say(
            f"{salvaged.unproved} more could be compared with nothing: look at them before you use them"
        )
    if salvaged.problems and not salvaged.has_manifest:
        say("what else lay in the lost parts cannot be known: no manifest names what there was")
    for text in (*salvaged.notes, *salvaged.problems[:_MOST_SHOWN]):
        say(f"  {text}")
    if len(salvaged.problems) > _MOST_SHOWN:
        say(f"  and {len(salvaged.problems) - _MOST_SHOWN} more")
    say(f"every file is listed in {salvaged.report}")
    if salvaged.damaged:
        say(
            "what is not whole is called *.incomplete: never put such a file in the place of its own"
        )
    return code


def _say_logs(logs: LogPlacing | None) -> None:
    for text in () if logs is None else logs.plan.sentences:
        say(f"log: {text}")


def _log_row(logs: LogPlacing | None) -> dict[str, Any] | None:
    if logs is None:
        return None
    plan = logs.plan
    return {
        "unbroken": plan.unbroken,
        "lacks_shipped": plan.lacks_shipped,
        "operations": plan.operations,
        "fit": plan.fit.value,
        "sentences": list(plan.sentences),
    }
