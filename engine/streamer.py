"""One look at a live log: what is new in it goes into the stream in the backup folder, durable when it is told of.

Whole records only. Before anything is appended the live log is compared with what was shipped of it; a log that is
another one gets a piece of its own. What keeps a look from being done is told as a HeldError, and harms nothing.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from engine.anchor import anchored
from engine.errors import EngineError
from engine.files import give_to_owner_of, room
from engine.history import HISTORY
from engine.host import Clock
from engine.livelog import (
    Held,
    LiveLog,
    SourceShrankError,
    read_facts_behind,
    read_first_facts,
)
from engine.logfile import HEADER_BYTES, LogUnreadableError
from engine.machine import this_machine
from engine.staging import own_tag
from engine.streamfolder import (
    STREAM_LOCK,
    KeptSets,
    look_at_sets,
    piece_numbers,
    remove_unneeded,
    remove_unneeded_of_others,
    stream_name,
    without_ledger,
)
from engine.streamledger import Beginning
from engine.streampiece import (
    Piece,
    Taken,
    create_piece,
    data_name,
    make_stream_folder,
    open_piece,
)
from engine.streamsight import Sight, judge
from settings.layout import DatabaseLayout

_FULL = (errno.ENOSPC, errno.EDQUOT)
# the sets are looked at again when the backup folder has changed, and this often at least
_SETS_SECONDS = 300.0
_LEAST_RESERVE = 1 << 20
# one look ships so much at most, so that somebody who wants to stop need not wait
_LOOK_BYTES = 64 << 20


class HeldError(EngineError):
    """Nothing is shipped now; the next look may succeed."""


class _BrokenLogError(HeldError):
    """The log itself does not go on as it should."""


@dataclass(frozen=True, slots=True)
class Stand:
    """How far the stream is: piece, length and last operation, None while there is none.

    `grew`: something was shipped now. `more`: there is more that can be shipped at once. `unfinished` counts bytes at
    the live log's end that are no whole record. `events` are sentences worth an entry in the Backup journal.
    """

    piece: int
    end: int
    last: int | None
    grew: bool
    more: bool
    unfinished: int
    events: tuple[str, ...] = ()


class Streamer:
    """The stream of one database; lives in one thread. Between two looks nothing in the backup folder is open."""

    def __init__(self, layout: DatabaseLayout, destination: Path, clock: Clock) -> None:
        self._layout = layout
        self._destination = destination
        self._clock = clock
        self._base = layout.data_file.stem
        self._name = stream_name(self._base, own_tag(layout.data_file, layout.package))
        self._live = LiveLog(layout.log)
        self._piece: Piece | None = None
        self._strange: Sight | None = None
        self._is_certain = False
        self._sets: KeptSets | None = None
        self._sets_seen: tuple[int, float] = (0, 0.0)
        self._events: list[str] = []

    def look(self) -> Stand:
        """Ship what is new. Raises HeldError."""
        try:
            self._live.look()  # first: a log that is renewed is held while the backup folder is away
            with self._stream() as stream:
                return self._ship(stream)
        except HeldError:
            raise
        except EngineError as error:
            raise HeldError(str(error)) from error
        except SourceShrankError as error:
            raise HeldError(
                f"{self._layout.log}: {error.args[0]}; it is looked at again"
            ) from error
        except OSError as error:
            self._piece = None
            raise HeldError(self._words(error)) from error
        finally:
            self._live.park()

    def let_go(self) -> None:
        """Nothing grows: hold nothing open, so that its volume can be unmounted."""
        self._live.let_go()

    def take_events(self) -> tuple[str, ...]:
        """What is to be told, also of a look that was held; once."""
        events, self._events = tuple(self._events), []
        return events

    # --- the folder

    @contextmanager
    def _stream(self) -> Iterator[Path]:
        """The stream's folder, ours alone for this look. Raises HeldError, OSError."""
        with anchored(self._destination, of=self._layout.package) as held:
            if not (held / HISTORY).is_file():
                raise HeldError(
                    f"the backup folder {self._destination} holds no history: no backup was made to it yet, or its"
                    " volume is not mounted"
                )
            make_stream_folder(held / self._name)
            with anchored(held / self._name, of=None) as stream, _alone(stream):
                self._look_at_sets(held, stream)
                yield stream

    def _look_at_sets(self, held: Path, stream: Path) -> None:
        """When the backup folder has changed: the room to keep free, and the pieces that nobody needs any more."""
        changed, now = held.stat().st_mtime_ns, self._clock.monotonic()
        is_new = changed != self._sets_seen[0] or now - self._sets_seen[1] > _SETS_SECONDS
        if self._sets is not None and not is_new:
            return
        data_file = self._layout.data_file
        kept = look_at_sets(held, self._base, data_file)
        gone = [f"{self._name}/{name}" for name in remove_unneeded(stream, kept)]
        gone += remove_unneeded_of_others(held, self._name, self._base, data_file, kept)
        self._events += [
            f"Removed : {name}; every set that is kept was made after it ended" for name in gone
        ]
        self._sets, self._sets_seen = kept, (changed, now)

    # --- the look

    def _ship(self, stream: Path) -> Stand:
        piece = self._current_piece(stream)
        while self._live.before:
            piece = self._finish(stream, piece, self._live.before[0])
            self._live.done_with_oldest()
            # what is there now is another file for certain: no second look is needed
            self._is_certain = True
        if self._live.now is None:
            raise HeldError(
                f"there is no log at {self._layout.log}: what is done now is not protected"
            )
        piece = self._piece_for(stream, piece, self._live.now)
        self._strange, self._is_certain = None, False
        return self._append(stream, piece, self._live.now)

    def _piece_for(self, stream: Path, piece: Piece | None, live: Held) -> Piece:
        """The piece itself when it is of this log, else a new one. Raises HeldError, LogUnreadableError, OSError."""
        if piece is None:
            return self._begin(stream, 0, live)
        marks = piece.marks(stream)
        facts = read_first_facts(live.descriptor)
        sight = judge(marks, live.marks(marks), piece.ledger.last, facts)
        if sight is Sight.SAME:
            return piece
        if not self._is_certain and self._strange is not sight:
            self._strange = sight
            raise HeldError(f"{sight.value}: it is looked at again before anything is done")
        self._close(stream, piece, sight)
        return self._begin(stream, piece.number, live)

    def _finish(self, stream: Path, piece: Piece | None, old: Held) -> Piece | None:
        """The end of a log that was renewed: it is gone from its place, and still held here. Raises HeldError, OSError.

        When the backup folder has no room just now, it is held for the next look. A log that came and went while
        nothing could be shipped gets a piece of its own.
        """
        try:
            found = self._piece_for(stream, piece, old)
            while self._append(stream, found, old).more:
                pass
        except (SourceShrankError, LogUnreadableError, _BrokenLogError) as error:
            self._events.append(f"The end of the log that was renewed could not be had : {error}")
            return self._piece
        return found

    def _current_piece(self, stream: Path) -> Piece | None:
        """The piece that is not closed; what a crash left behind it is cut off."""
        if self._piece is not None and self._piece.is_as_left(stream):
            return self._piece
        self._piece = None
        number = max(piece_numbers(stream), default=0)
        if not number:
            return None
        piece = open_piece(stream, number)
        if piece.ledger.closing is not None:
            return None
        if piece.cut:
            self._events.append(
                f"Cut off : {piece.cut} bytes behind the last record that was told in {data_name(number)}, left by"
                " a crash; they are shipped anew"
            )
        self._piece = piece
        return piece

    def _close(self, stream: Path, piece: Piece, sight: Sight) -> None:
        """Another log: nothing more comes into this piece. Raises OSError."""
        highest = 0 if self._sets is None else self._sets.highest
        self._piece = None
        piece.close(stream, sight.value, highest, self._clock.now())
        last = (
            "without an operation"
            if piece.ledger.last is None
            else f"at operation {piece.ledger.last}"
        )
        self._events.append(f"Piece {piece.number} ends {last} : {sight.value}")

    def _begin(self, stream: Path, before: int, live: Held) -> Piece:
        """A piece for this log. Raises LogUnreadableError, HeldError, OSError."""
        read_first_facts(live.descriptor)  # what is no log is refused here
        self._keep_room(stream, HEADER_BYTES)
        lost = without_ledger(stream)
        number = max(before, *piece_numbers(stream), *lost, 0) + 1
        self._events += [
            f"{data_name(one)} has lost its ledger, so that nothing proves what is in it : it stays as it is, and the"
            f" log is shipped anew in piece {number}"
            for one in lost
        ]
        beginning = Beginning(
            number,
            str(self._layout.data_file),
            str(self._layout.log),
            this_machine(),
            self._clock.now(),
            live.read(0, HEADER_BYTES),
        )
        self._piece = create_piece(stream, beginning)
        return self._piece

    def _append(self, stream: Path, piece: Piece, live: Held) -> Stand:
        """Whole records behind the end of the piece, as many as one look ships."""
        began, size = piece.end, live.size
        while piece.end < size and piece.end - began < _LOOK_BYTES:
            facts = read_facts_behind(live.descriptor, piece.end, size)
            end = facts.whole_bytes
            if end <= piece.end:
                break
            _refuse_break(piece, facts.before)
            self._keep_room(stream, end - piece.end)
            last = piece.ledger.last if facts.last is None else facts.last
            taken = Taken(end, last, self._clock.now())
            still = partial(live.holds, piece.marks(stream))
            piece.append(stream, taken, live.read, still=still)
        rest = size - piece.end
        more = rest > 0 and piece.end - began >= _LOOK_BYTES
        grew = piece.end > began
        return Stand(piece.number, piece.end, piece.ledger.last, grew, more, 0 if more else rest)

    def _keep_room(self, stream: Path, count: int) -> None:
        """The next backup must find as much room as the last one took, and a little. Raises HeldError, OSError."""
        newest = 0 if self._sets is None else self._sets.newest_bytes
        reserve = newest + newest // 10 + _LEAST_RESERVE
        free = room(stream)
        if free - count < reserve:
            raise HeldError(
                f"no room in the backup folder {self._destination}: {free >> 20} MiB are free, and"
                f" {reserve >> 20} MiB are left for the next backup"
            )

    def _words(self, error: OSError) -> str:
        if error.errno in _FULL:
            return f"no room in the backup folder {self._destination}: {error.strerror}"
        where = f" ({error.filename})" if error.filename else ""
        return f"shipping the log of {self._layout.data_file.name} failed: {error.strerror or error}{where}"


@contextmanager
def _alone(stream: Path) -> Iterator[None]:
    """Nobody else ships into it meanwhile. Raises HeldError, OSError."""
    descriptor = _open_lock(stream)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HeldError("another service ships the log of this database") from error
        yield
    finally:
        os.close(descriptor)


def _open_lock(stream: Path) -> int:
    """Made once: a look that finds nothing new writes nothing."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(stream / STREAM_LOCK, flags)
    except FileNotFoundError:
        descriptor = os.open(stream / STREAM_LOCK, flags | os.O_CREAT, 0o640)
    try:
        give_to_owner_of(stream, descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_break(piece: Piece, before: int | None) -> None:
    """What follows must carry on the numbers; one of a kind never met may add one. Raises HeldError."""
    last = piece.ledger.last
    if last is None or before is None or before in (last, last + 1):
        return
    raise _BrokenLogError(
        f"the log is damaged behind byte {piece.end}: operation {last} is followed by {before + 1}"
    )
