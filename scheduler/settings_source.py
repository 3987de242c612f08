"""The settings of one database as they are now; the last good ones stay in force while the file cannot be used.

A copy of the last good file lies beside the state, so that a restart under a broken edit changes nothing.
"""

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from engine.files import read_regular, replacing
from scheduler.state import state_file
from settings.errors import SettingsError
from settings.layout import DatabaseLayout
from settings.locate import locate_database
from settings.reader import Reading, load_settings, parse_settings
from settings.service_model import ServedDatabase
from settings.source import load_bytes

_log = logging.getLogger(__name__)

_FULL_READ = 12  # looks, five minutes apart: reading each time would wait for the disk, which is no idle service


@dataclass(frozen=True, slots=True)
class InForce:
    """Layout and settings that count now; `problem` says why the file itself does not, None when it does."""

    layout: DatabaseLayout
    reading: Reading
    problem: str | None


class SettingsSource:
    """Looks at the places where a database's settings may lie, again and again."""

    def __init__(self, entry: ServedDatabase, state_folder: Path) -> None:
        self._entry = entry
        self._state_folder = state_folder
        self._layout: DatabaseLayout | None = None
        self._reading: Reading | None = None
        self._signature: tuple[object, ...] = ()
        self._looks = 0

    @property
    def places(self) -> tuple[Path, ...]:
        """Every file that may become the settings file, for somebody who watches."""
        if self._layout is None:
            return ()
        return tuple(place for place, _ in self._layout.considered)

    def look(self) -> InForce | str:
        """What counts now; why nothing does, in words, when there never were good settings."""
        try:
            layout, reading = self._read()
        except SettingsError as error:
            return self._last_good(str(error))
        except OSError as error:
            return self._last_good(f"{self._entry.package} cannot be read: {error.strerror}")
        self._layout, self._reading = layout, reading
        return InForce(layout, reading, None)

    def _read(self) -> tuple[DatabaseLayout, Reading]:
        """Read again when the facts of a file changed, and now and then whatever they say."""
        self._looks += 1
        layout, reading = self._layout, self._reading
        if layout is None or reading is None or self._signature != _signature(layout):
            return self._locate()
        if self._looks % _FULL_READ:
            return layout, reading
        data = load_bytes(layout.settings_file)
        if hashlib.sha256(data).hexdigest() == reading.digest:
            return layout, reading
        return layout, self._parse(data, layout)

    def _locate(self) -> tuple[DatabaseLayout, Reading]:
        layout = locate_database(self._entry.package, self._entry.data_file)
        # before the reading: an edit in between is seen the next time
        signature = _signature(layout)
        reading = self._parse(load_bytes(layout.settings_file), layout)
        self._signature = signature
        return layout, reading

    def _parse(self, data: bytes, layout: DatabaseLayout) -> Reading:
        reading = parse_settings(data, layout.settings_file)
        keep_copy(data, last_good_file(self._state_folder, layout))
        return reading

    def _last_good(self, problem: str) -> InForce | str:
        if self._layout is not None and self._reading is not None:
            return InForce(self._layout, self._reading, problem)
        found = load_last_good(self._entry, self._state_folder)
        if found is None:
            return problem
        self._layout, self._reading = found
        return InForce(*found, problem)


def last_good_file(state_folder: Path, layout: DatabaseLayout) -> Path:
    """Where the copy of a database's last good settings lies."""
    return state_file(state_folder, layout.data_file).with_suffix(".4DSettings")


def load_last_good(
    entry: ServedDatabase, state_folder: Path
) -> tuple[DatabaseLayout, Reading] | None:
    """The database with its last good settings; None when there are none, or no database."""
    try:
        layout = locate_database(entry.package, entry.data_file, needs_settings=False)
        return layout, load_settings(last_good_file(state_folder, layout))
    except (SettingsError, OSError):
        return None


def keep_copy(data: bytes, copy: Path) -> None:
    """Keep the bytes of good settings for a start at which they cannot be read; a failure is only told."""
    if _holds(copy, data):
        return
    try:
        copy.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        # an administrator may have closed what it is a copy of to everybody but the service
        with replacing(copy, mode=0o600) as stream:
            stream.write(data)
    except OSError as error:
        _log.warning("the settings could not be kept for later in %s: %s", copy, error.strerror)


def _holds(copy: Path, data: bytes) -> bool:
    """Whether it is as it should be; whatever lies in its place takes neither time nor memory."""
    try:
        return read_regular(copy, len(data)) == data
    except OSError:
        return False


def _signature(layout: DatabaseLayout) -> tuple[object, ...]:
    """What is known of every place where settings may lie, without reading it."""
    return tuple(_facts(place) for place, _ in layout.considered)


def _facts(place: Path) -> tuple[int, ...] | None:
    """Of an opened file: a network file system shows old facts of one that is not."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
