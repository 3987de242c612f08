"""Bytes of a settings file to typed settings and findings; dangerous values are refused, never repaired."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from settings.errors import SettingsRefusedError
from settings.keys import KEYS, Key
from settings.model import (
    CompressionRate,
    Content,
    DatabaseBlock,
    Finding,
    KeepAll,
    KeepLast,
    Rate,
    RetryAtNextSlot,
    RetryOnce,
    RetryPolicy,
    RetryUpTo,
    Rotation,
    Settings,
    SettingsPath,
    Severity,
    Transactions,
)
from settings.paths import parse_path
from settings.schedule import read_schedule
from settings.sheet import Problem, Sheet
from settings.source import load_bytes
from settings.tree import Node, find_nodes, parse_tree
from settings.values import (
    parse_count,
    parse_duration,
    parse_flag,
    parse_moment,
    parse_text,
    parse_word,
)

_A = "Settings/Advanced"
_G = "Settings/General"
_MEGABYTE = 1024 * 1024
_DEFAULT_DELAY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Reading:
    """One file as read: `digest` is the SHA-256 of its bytes in hexadecimal."""

    file: Path
    settings: Settings
    findings: tuple[Finding, ...]
    digest: str


def load_settings(file: Path) -> Reading:
    """Read the file from the disk; only a small regular file is read at all."""
    return parse_settings(load_bytes(file), file)


def parse_settings(data: bytes, file: Path) -> Reading:
    """Return the settings with everything worth saying about them, or refuse the file whole."""
    sheet = Sheet(_backup_of(parse_tree(data, file), file))
    settings = _read_settings(sheet)
    sheet.note_unknown()
    if sheet.refusals:
        raise SettingsRefusedError(file, [*sheet.refusals, *sheet.findings])
    return Reading(file, settings, tuple(sheet.findings), hashlib.sha256(data).hexdigest())


def _backup_of(root: Node, file: Path) -> Node:
    """The element Backup; when it is there twice, both are read as one."""
    blocks = find_nodes(root, "Backup")
    if root.name == "Preferences4D" and len(blocks) == 1:
        return blocks[0]
    why = "the root must be Preferences4D with one Backup inside. This is no backup settings file"
    raise SettingsRefusedError(
        file, [Finding(Severity.ERROR, root.name, root.line, root.text.strip(), "", why)]
    )


def _read_settings(sheet: Sheet) -> Settings:
    compression = sheet.take(f"{_A}/CompressionRate", parse_word)
    return Settings(
        schedule=read_schedule(sheet),
        retry=_read_retry(sheet),
        rotation=_read_rotation(sheet),
        content=_read_content(sheet),
        destination=sheet.take(f"{_G}/DestinationFolder", _path),
        compression=CompressionRate(compression),
        redundancy=Rate(sheet.take(f"{_A}/Redundancy", parse_word)),
        interlacing=Rate(sheet.take(f"{_A}/Interlacing", parse_word)),
        segment_bytes=_read_segment(sheet),
        check_archive=_flag(sheet, "CheckArchiveFileDuringBackup"),
        verbose_journal=_flag(sheet, "BackupJournalVerboseMode"),
        only_if_changed=_flag(sheet, "BackupIfDataChange"),
        automatic_restore=_flag(sheet, "AutomaticRestore"),
        automatic_log_integration=_flag(sheet, "AutomaticLogIntegration"),
        automatic_restart=_flag(sheet, "AutomaticRestart"),
        strictness=_read_strictness(sheet),
        transactions=_read_transactions(sheet),
        database_block=_read_database(sheet),
    )


def _flag(sheet: Sheet, name: str) -> bool:
    return sheet.take(f"{_A}/{name}", parse_flag)


def _path(_key: Key, text: str) -> SettingsPath:
    return parse_path(text)


# --- failure --------------------------------------------------------------------------------------


def _read_retry(sheet: Sheet) -> RetryPolicy:
    at_next_slot = _flag(sheet, "BackupFailure/TryBackupAtTheNextScheduledDate")
    limited = _flag(sheet, "BackupFailure/AbortIfBackupFail")
    delay = _read_delay(sheet, inert=at_next_slot)
    attempts = sheet.take(
        f"{_A}/BackupFailure/RetryCountBeforeAbort", parse_count, inert=at_next_slot or not limited
    )
    if at_next_slot:
        return RetryAtNextSlot()
    return RetryUpTo(delay, attempts) if limited else RetryOnce(delay)


def _read_delay(sheet: Sheet, *, inert: bool) -> timedelta:
    value = sheet.read(f"{_A}/BackupFailure/TryToBackupAfter", _parse_delay)
    if isinstance(value, Problem):
        sheet.repair(value, "60 seconds", inert=inert)
        return _DEFAULT_DELAY
    return value


def _parse_delay(key: Key, text: str) -> timedelta:
    # v17 and v18 wrote seconds, or a time-zone offset, into the milliseconds: the real delay is lost
    delay = parse_duration(key, text)
    if delay < timedelta(seconds=1) or (delay < _DEFAULT_DELAY and delay.microseconds):
        raise ValueError("a delay that 4D damaged; its real value is lost")
    return delay


# --- sets and archives ----------------------------------------------------------------------------


def _read_rotation(sheet: Sheet) -> Rotation:
    enabled = sheet.take(f"{_A}/SetNumber/Enable", parse_flag, inert=False)
    erase_before = sheet.take(f"{_A}/EraseOldBackupBefore", parse_flag)
    parse = parse_count if enabled else _parse_unused_count
    count = sheet.take(f"{_A}/SetNumber/Value", parse)
    return KeepLast(count, erase_before) if enabled else KeepAll()


def _parse_unused_count(key: Key, text: str) -> int:
    """Rotation is off, so 0 does no harm; what is no number at all is still refused."""
    return 0 if text.strip() == "0" else parse_count(key, text)


def _read_segment(sheet: Sheet) -> int | None:
    megabytes = sheet.take(f"{_A}/FileSegmentation/DefaultSize", parse_count)
    return megabytes * _MEGABYTE or None


def _read_strictness(sheet: Sheet) -> str:
    key = KEYS[f"{_A}/AutomaticLogIntegrationStrictness"]
    text = sheet.take(key.path, parse_text) or key.default
    nodes = sheet.nodes(key)
    if nodes and nodes[0].text.strip() != "strict":
        sheet.note(key, nodes[0], "only 'strict' is known; log integration is prepared as strict")
    return text


def _read_transactions(sheet: Sheet) -> Transactions:
    wait = _flag(sheet, "Transaction/WaitForEndOfTransaction")
    timeout = sheet.take(f"{_A}/Transaction/Timeout", parse_duration, inert=not wait)
    return Transactions(wait, timeout)


# --- content --------------------------------------------------------------------------------------


def _read_content(sheet: Sheet) -> Content:
    return Content(
        structure=sheet.take(f"{_G}/IncludeStructureFile", parse_flag),
        data=sheet.take(f"{_G}/IncludeDataFile", parse_flag),
        user_structure=sheet.take(f"{_G}/IncludeAltStructFile", parse_flag),
        attachments=_read_attachments(sheet),
    )


def _read_attachments(sheet: Sheet) -> tuple[SettingsPath, ...]:
    key = KEYS[f"{_G}/IncludesFiles"]
    paths: list[SettingsPath] = []
    for item in _items(sheet, key):
        try:
            if item.text.strip():
                paths.append(parse_path(item.text))
            else:
                sheet.note(key, item, f"{item.name} is empty and left out")
        except ValueError as error:
            why = f"{item.name} is left out: {error}; allowed: a path as ./Data/data.4DIndx"
            sheet.fail(Problem(key, item.line, item.text, why))
    return tuple(paths)


def _items(sheet: Sheet, key: Key) -> list[Node]:
    """The ItemK elements that are there; ItemsCount is only compared, because 4D gets it wrong."""
    blocks = sheet.nodes(key)
    items = [child for block in blocks for child in block.children if _is_item(child.name)]
    for block in blocks:
        for count in find_nodes(block, "ItemsCount"):
            if count.text.strip() != str(sum(_is_item(c.name) for c in block.children)):
                sheet.note(
                    key, count, f"ItemsCount is wrong; the {len(items)} items there are used"
                )
    return items


def _is_item(name: str) -> bool:
    return name.startswith("Item") and name[4:].isdecimal()


# --- the old DataBase block -----------------------------------------------------------------------


def _read_database(sheet: Sheet) -> DatabaseBlock | None:
    if not sheet.has("DataBase"):
        return None
    current = _first_item(sheet, "CurrentBackupSet")
    return DatabaseBlock(
        data_file=_first_item(sheet, "DatabaseName"),
        last_archive=_first_item(sheet, "LastBackupPath"),
        last_log_archive=_first_item(sheet, "LastBackupLogPath"),
        current_set=int(current) if current and current.isascii() and current.isdecimal() else None,
        last_backup=_last_backup(sheet),
    )


def _first_item(sheet: Sheet, name: str) -> str | None:
    items = _items(sheet, KEYS[f"DataBase/{name}"])
    return items[0].text.strip() or None if items else None


def _last_backup(sheet: Sheet) -> datetime | None:
    day = _first_item(sheet, "LastBackupDate")
    if day is None:
        return None
    try:
        return parse_moment(day, _first_item(sheet, "LastBackupTime") or "00:00:00")
    except ValueError as error:
        key = KEYS["DataBase/LastBackupDate"]
        sheet.note(key, sheet.nodes(key)[0], f"{day!r} is not used: {error}")
        return None
