"""What `status` says of the log: 4D's error 1274, and a log that is back and waits for its backup."""

from engine.datalook import Seen, look_at
from engine.errors import Code
from engine.logmissing import HINT, has_saved, holds_log, is_there, missing_log
from engine.sets import StoredSet
from settings.layout import DatabaseLayout
from settings.model import Settings


def log_trouble(layout: DatabaseLayout, settings: Settings, complete: list[StoredSet]) -> list[str]:
    """Sentences that call for a person; none when the data is not backed up here, or all is well."""
    if not settings.content.data:
        return []
    newest = complete[-1] if complete else None
    if is_there(layout.log):
        if newest is None or holds_log(newest):
            return []
        made = f"set {newest.number} was made without it"
        return [f"the log {layout.log} is there, and {made}: make a backup now"]
    found = look_at(layout.data_file)
    named = found.log if isinstance(found, Seen) else None
    text = missing_log(layout, named, was_saved=has_saved(complete))
    return [] if text is None else [f"error {int(Code.LOG_UNAVAILABLE)}: {text}; {HINT}"]
