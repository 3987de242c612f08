"""What `status` says of the log: 4D's error 1274, and a log that is back and waits for its backup."""

from engine.datalook import Seen, look_at
from engine.errors import Code
from engine.logmissing import HINT, is_there, missing_log
from engine.sets import StoredSet
from settings.layout import DatabaseLayout
from settings.model import Settings


def log_trouble(layout: DatabaseLayout, settings: Settings, complete: list[StoredSet]) -> list[str]:
    """Sentences that call for a person; none when the data is not backed up here, or all is well."""
    if not settings.content.data:
        return []
    newest = complete[-1] if complete else None
    was_saved = newest is not None and _holds_log(newest)
    if is_there(layout.log):
        if newest is None or was_saved:
            return []
        made = f"set {newest.number} was made without it"
        return [f"the log {layout.log} is there, and {made}: make a backup now"]
    found = look_at(layout.data_file)
    named = found.log if isinstance(found, Seen) else None
    text = missing_log(layout, named, was_saved=was_saved)
    return [] if text is None else [f"error {int(Code.LOG_UNAVAILABLE)}: {text}; {HINT}"]


def _holds_log(stored: StoredSet) -> bool:
    return any(role == "log" for role, _ in stored.facts.files)
