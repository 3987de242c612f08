"""What the log tells of changes to the data since a set was made (BackupIfDataChange). Read only.

Operations that change data count; opening, closing, backups and empty transactions do not. 4D moves the number of
the log with every change, so a log that was renewed since still tells, as long as its numbers carry on.
"""

from enum import Enum
from pathlib import Path

from engine.errors import EngineError
from engine.files import open_regular
from engine.logfile import (
    ByteReader,
    DescriptorReader,
    LogFacts,
    begins_with,
    changes_after,
    read_log_facts,
)
from engine.logsequel import Sequel, judge_sequel
from engine.logtables import CATALOG, CatalogError, load_tables
from engine.setlog import log_archive, opened_log
from settings.layout import DatabaseLayout


class Changes(Enum):
    """What the log tells."""

    NONE = "no change"
    SOME = "changes"
    NOT_KNOWN = "not known"


def changes_by_log(layout: DatabaseLayout, folder: Path) -> Changes:
    """Whether the live log holds changes that came after the log in the set of this folder."""
    try:
        facts = log_archive(folder)
        if facts is None:
            return Changes.NOT_KNOWN
        with opened_log(folder, facts) as saved:
            then = read_log_facts(saved)
        with open_regular(layout.log) as stream:
            return _changes_since(then, DescriptorReader(stream.fileno()))
    except (EngineError, OSError):
        return Changes.NOT_KNOWN


def is_all_logged(layout: DatabaseLayout) -> bool:
    """Whether the structure is at hand and says of no table that its changes are not logged."""
    try:
        tables = load_tables(layout.package / CATALOG)
    except (CatalogError, OSError):
        return False
    return bool(tables.names) and not tables.unlogged


def _changes_since(then: LogFacts, live: ByteReader) -> Changes:
    """Raises LogUnreadableError when the live log cannot be gone through."""
    if then.last is None:
        return Changes.NOT_KNOWN  # it was empty: any log goes on from there
    if begins_with(live, then):
        return Changes.SOME if changes_after(live, then.whole_bytes) else Changes.NONE
    following = judge_sequel(then, read_log_facts(live), begins_so=False)
    if following.sequel is Sequel.FOLLOWS and not following.goes_back:
        return Changes.SOME if changes_after(live) else Changes.NONE
    return Changes.SOME if following.sequel is Sequel.GAP else Changes.NOT_KNOWN
