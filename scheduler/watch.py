"""Noticing edited settings at once. Only an accelerator: the heartbeat reads the files all the same."""

import logging
from collections.abc import Callable, Iterable
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

_log = logging.getLogger(__name__)

# the kernel is asked for these only: our own reading on every heartbeat would wake a thread for each folder
_EDITS: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]


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
        self._folders: dict[Path, object] = {}
        self._observer.start()

    def follow(self, files: Iterable[Path]) -> bool:
        """Watch the folders of these files; what cannot be watched is left to the heartbeat.

        True when a folder is watched from now on: an edit made just before was not noticed.
        """
        wanted = frozenset(files)
        self._handler.files = frozenset(str(file) for file in wanted)
        is_new = False
        for folder in {file.parent for file in wanted} - self._folders.keys():
            try:
                self._folders[folder] = self._observer.schedule(
                    self._handler, str(folder), event_filter=_EDITS
                )
            except OSError as error:
                _log.debug("%s is not watched, only looked at: %s", folder, error)
            else:
                is_new = True
        return is_new

    def stop(self) -> None:
        """End the thread."""
        self._observer.stop()
        self._observer.join(timeout=5)
