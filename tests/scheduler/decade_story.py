"""The last things that happened to one database, for whoever reads of a broken promise."""

from collections import deque
from datetime import datetime


class BrokenPromiseError(AssertionError):
    """A slot without an answer, with two, or a run that should not have been; the message ends with the story."""


class Story:
    """Remembers the end of it."""

    def __init__(self) -> None:
        self._events: deque[tuple[datetime, object]] = deque(maxlen=14)

    def note(self, now: datetime, what: object) -> None:
        """Something happened."""
        self._events.append((now, what))

    def must(self, holds: bool, now: datetime, *words: object) -> None:
        """A promise. Raises BrokenPromiseError, with the words and the story, when it does not hold."""
        if holds:
            return
        story = "\n".join(f"  {at:%Y-%m-%d %H:%M:%S}Z  {what}" for at, what in self._events)
        told = " ".join(_brief(word) for word in words)
        raise BrokenPromiseError(f"{now:%Y-%m-%d %H:%M:%S}Z: {told}\nclock and story:\n{story}")


def _brief(word: object) -> str:
    if isinstance(word, list):
        return f"{len(word)} slots, the first {word[0]:%Y-%m-%d %H:%M:%S}Z" if word else "no slot"
    return f"{word:%Y-%m-%d %H:%M:%S}Z" if isinstance(word, datetime) else str(word)
