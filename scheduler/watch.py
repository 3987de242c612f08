"""Noticing edited settings at once. Only an accelerator: the heartbeat reads the files all the same."""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from watchdog.events import (
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

_log = logging.getLogger(__name__)

# the kernel is asked for these only: our own reading on every heartbeat would wake a thread for each folder
_EDITS: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]

# each costs two threads, and one of the 128 inotify instances that all programs of a user share
_MOST_FOLDERS = 60


class _Handler(FileSystemEventHandler):
    def __init__(self, edited: Callable[[], None]) -> None:
        self._edited = edited
        self.files: frozenset[str] = frozenset()

    def on_any_event(self, event: FileSystemEvent) -> None:
        if self.files & {str(event.src_path), str(event.dest_path)}:
            self._edited()


class Watch:
    """Calls `edited` when one of the files may have changed; from a thread of its own."""

    def __init__(self, edited: Callable[[], None]) -> None:
        self._handler = _Handler(edited)
        self._observer = Observer()
        self._folders: dict[Path, tuple[ObservedWatch, tuple[int, int]]] = {}
        self._observer.start()

    def follow(self, files: Iterable[Path]) -> bool:
        """Watch the folders of these files and no others; what is not watched is left to the heartbeat.

        True when a folder is watched from now on: an edit made just before was not noticed.
        """
        wanted = frozenset(files)
        self._handler.files = frozenset(str(file) for file in wanted)
        folders = {file.parent for file in wanted}
        for folder in self._folders.keys() - folders:
            self._forget(folder)
        is_new = [self._follow(folder) for folder in sorted(folders)[:_MOST_FOLDERS]]
        return any(is_new)

    def _follow(self, folder: Path) -> bool:
        """A folder that vanished and came back is another one, which nobody watches yet."""
        try:
            found = folder.stat()
            identity = (found.st_dev, found.st_ino)
            if folder in self._folders:
                if self._folders[folder][1] == identity:
                    return False
                self._forget(folder)
            watch = self._observer.schedule(self._handler, str(folder), event_filter=_EDITS)
        except OSError as error:
            _log.debug("%s is not watched, only looked at: %s", folder, error)
            return False
        self._folders[folder] = (watch, identity)
        return True

    def _forget(self, folder: Path) -> None:
        watch, _ = self._folders.pop(folder)
        with suppress(KeyError, OSError):
            self._observer.unschedule(watch)

    def stop(self) -> None:
        """End the thread."""
        self._observer.stop()
        self._observer.join(timeout=5)
