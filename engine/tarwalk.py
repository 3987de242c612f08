"""The members of a tar stream that comes block by block, with stretches missing: what is where, and what cannot be known.

Frames of a set begin with the header of a member or hold a part of a large file's content, cut on a grid that
is counted from the file's beginning. So behind a missing stretch of unknown length the next frame that begins
with a header tells how much of the file before it is missing, and a frame of another length than the grid's
tells that frames are missing, doubled or exchanged. Content whose header is lost becomes a member without a
name. A stream that is not packed has no such frames: its pieces come as they lie on the disk.
"""

from collections.abc import Callable
from dataclasses import replace

from blake3 import blake3

from engine.codec import FRAME_BYTES, GRID_BYTES, digest_zeros, frame_bytes
from engine.member import Attributes, Kind, Member, Role, content_extents, stored_bytes
from engine.stop import StopRequest
from engine.tarparse import (
    UNNAMED,
    NeedMore,
    NotAHeaderError,
    parse_member,
)
from engine.tarpieces import ZERO_BLOCK, Content, begins_member, find_header
from engine.tarstream import BLOCK, END, padding

# the digest of what could not be read whole, or whose parts may not belong together: no file has it
UNKNOWN = "0" * 64
_HOLE_STEP = 1 << 30
_MOST_PROBLEMS = 1000
# how much is read twice to find a header in what is none, before whole stretches are passed over
_MOST_TWICE = 256 << 20


class TarWalk:
    """Takes the frames of a stream in order.

    `emit` is given each member when all of it has passed, and what follows it was seen. `raws` says how long
    each missing stretch is taken to be, `problems` what is not as in a set. `is_packed`: the frames are those
    of the format, on this grid.
    """

    def __init__(
        self,
        emit: Callable[[Member], None],
        stop: StopRequest,
        *,
        is_packed: bool = True,
        grid: int = GRID_BYTES,
    ) -> None:
        self._grid = grid
        self.raws: dict[int, int] = {}
        self.problems: list[str] = []
        self.position = 0
        self._emit = emit
        self._stop = stop
        self._is_packed = is_packed
        self._head = bytearray()
        self._need = BLOCK
        self._content: Content | None = None
        self._finished: Member | None = None
        self._gap: list[tuple[int, int | None]] = []
        self._unnamed = 0
        self._junk = 0
        self._twice = 0
        self._is_over = False
        self._behind = False

    def frame(self, index: int, block: bytes | memoryview) -> None:
        """The next frame."""
        self._stop.check()
        if not block:
            return  # padding between frames
        if self._gap:
            if not begins_member(block) or self._goes_on(len(block)):
                self._gap.append((index, len(block)))
                return
            self._close_gap()
        elif self._is_packed and not self._is_what_follows(block):
            self._break_off()
            if not begins_member(block):
                self._pass_junk(len(block), "a part of a file that belongs to none")
                return
        if self._is_over and begins_member(block):
            self._say("there is something behind the end of the archive")
            self._is_over = False
        self._consume(memoryview(block))

    def missing(self, index: int, raw: int | None = None) -> None:
        """A stretch that cannot be read; `raw` is its length in the stream, None when that is not known."""
        self._drop_head()
        if (raw is not None and not self._is_packed) or (
            raw is not None and not self._gap and self._is_lost_piece(raw)
        ):
            self._pass_known(index, raw)
        else:
            self._gap.append((index, None))

    def end(self, index: int) -> None:
        """The archive is over; `index` is that of the stretch that stands for what is missing behind it."""
        if self._gap:
            self._close_gap()
        self._drop_head()
        missing = 0
        if self._content is not None:
            missing = self._content.left
            self._lose(self._content, missing)
        self._release()
        if not self._is_over:
            self._say("the archive ends too early")
            missing += len(END)
            self.position += len(END)
        if missing:
            self.raws[index] = missing

    # --- what is read

    def _is_what_follows(self, block: bytes | memoryview) -> bool:
        content = self._content
        if content is not None:
            return not content.has_own_frames or len(block) == content.expected()
        return bool(self._head) or begins_member(block) or (self._is_over and not any(block))

    def _break_off(self) -> None:
        """The frame that comes is not the one that follows: what was read of this file is not all, or not in order."""
        content = self._content
        if content is None:
            return
        self._say(f"at byte {self.position} of the stream frames are missing, doubled or exchanged")
        self._cut_short(content)

    def _cut_short(self, content: Content) -> None:
        """End a file with what came of it; where that belongs is not certain."""
        member, self._content = content.member, None
        left = stored_bytes(member) - sum(length for _, length in content.pieces)
        extents: list[tuple[int, int]] = []
        for offset, length in content_extents(member):
            taken = min(left, length)
            left -= taken
            if taken:
                extents.append((offset, taken))
        extents.append((member.size, 0))
        self._finish(replace(member, extents=tuple(extents), digest=UNKNOWN))

    def _consume(self, data: memoryview) -> None:
        while data:
            if self._content is not None:
                data = self._take_content(self._content, data)
            elif self._is_over:
                data = self._take_end(data)
            else:
                data = self._take_header(data)

    def _take_content(self, content: Content, data: memoryview) -> memoryview:
        count = min(content.left, len(data))
        self._hash(content, data[:count])
        content.skip(count)
        self.position += count
        if content.left == 0:
            self._finish_content(content)
        return data[count:]

    def _hash(self, content: Content, data: memoryview) -> None:
        if not content.is_whole:
            return
        for offset, length in reversed(content.pieces):
            part = data[:length]
            if not part:
                return
            self._hash_hole(content, offset)
            content.digest.update(part)
            content.position += len(part)
            data = data[len(part) :]

    def _hash_hole(self, content: Content, offset: int) -> None:
        while content.position < offset:
            self._stop.check()
            step = min(offset - content.position, _HOLE_STEP)
            digest_zeros(content.digest, step)
            content.position += step

    def _take_header(self, data: memoryview) -> memoryview:
        count = min(self._need - len(self._head), len(data))
        self._head += data[:count]
        rest = data[count:]
        if len(self._head) < self._need:
            return rest
        if bytes(self._head[:BLOCK]) == ZERO_BLOCK and (self._is_packed or not self._junk):
            self._flush_junk()
            self._is_over = True
            self._need = BLOCK
            self.position += len(self._head)
            self._head.clear()
            return rest
        try:
            at = self.position + self._junk
            found = parse_member(bytes(self._head), at, behind_junk=self._junk > 0)
        except NotAHeaderError as error:
            if not self._is_packed:
                return self._pass_to_header(rest, str(error))
            self._pass_block(str(error))
            return rest
        if isinstance(found, NeedMore):
            self._need = found.count
            return rest
        self._begin(found)
        return rest

    def _begin(self, member: Member) -> None:
        self._flush_junk()
        used = member.data - member.header
        beyond = bytes(self._head[used:])
        self.position += used
        self._head.clear()
        self._need = BLOCK
        stored = stored_bytes(member)
        pieces = [piece for piece in content_extents(member) if piece[1]]
        pieces.reverse()
        content = Content(
            member, frame_bytes(member.size, self._grid), stored + padding(stored), pieces, blake3()
        )
        content.is_whole = not member.path.startswith(UNNAMED)
        if content.left == 0:
            self._finish_content(content)
        else:
            self._release()
            self._content = content
        if beyond:  # the parser asked for more than the header
            self._consume(memoryview(beyond))

    def _finish_content(self, content: Content) -> None:
        self._content = None
        member = content.member
        if member.kind is Kind.FILE:
            digest = UNKNOWN
            if content.is_whole:
                self._hash_hole(content, member.size)
                digest = content.digest.hexdigest()
            member = replace(member, digest=digest)
        self._finish(member)

    def _finish(self, member: Member) -> None:
        self._release()
        self._finished = member

    def _release(self) -> None:
        """What follows a member is as it must be."""
        if self._finished is not None:
            self._emit(self._finished)
            self._finished = None

    def _take_end(self, data: memoryview) -> memoryview:
        rest = len(bytes(data).lstrip(b"\0"))
        if rest and not self._behind:
            self._behind = True
            self._say("there is something behind the end of the archive")
        if self._is_packed:
            rest = 0
        elif rest:
            self._is_over = False
        self.position += len(data) - rest
        return data[len(data) - rest :]

    # --- what is not there

    def _is_lost_piece(self, raw: int) -> bool:
        content = self._content
        if content is None or raw > content.left:
            return False
        return not content.has_own_frames or raw == content.expected()

    def _pass_known(self, index: int, raw: int) -> None:
        """A stretch of known length, inside a file's content at its beginning."""
        self.raws[index] = raw
        if self._content is not None:
            lost = min(raw, self._content.left)
            raw -= lost
            self._lose(self._content, lost)
        self.position += raw

    def _lose(self, content: Content, count: int) -> None:
        content.is_whole = False
        content.skip(count)
        self.position += count
        if content.left == 0:
            self._finish_content(content)

    def _goes_on(self, length: int) -> bool:
        """Whether a frame that looks like a header may be in the middle of the file before the gap."""
        content = self._content
        if content is None or length != content.cut:
            return False
        return content.left - sum(raw for _, raw in self._gap if raw is not None) >= length

    def _close_gap(self) -> None:
        gap, self._gap = self._gap, []
        found = sum(raw for _, raw in gap if raw is not None)
        holes = [index for index, raw in gap if raw is None]
        content = self._content
        if content is not None and content.left >= found:
            shares = self._share(content, gap, holes, content.left - found)
            if shares is not None:
                self.raws.update(shares)
                self._lose(content, content.left)
                return
        if content is not None:
            self._cut_short(content)
        self.raws.update(dict.fromkeys(holes, 0))
        self._name_runs(gap)

    @staticmethod
    def _share(
        content: Content, gap: list[tuple[int, int | None]], holes: list[int], lost: int
    ) -> dict[int, int] | None:
        """How much of a file is missing in each hole; None when that cannot be told."""
        if len(holes) == 1:
            return {holes[0]: lost}
        last = lost - content.cut * (len(holes) - 1)
        is_last_at_end = gap[-1][1] is None
        if last == content.cut or (is_last_at_end and 0 < last <= content.cut):
            return dict.fromkeys(holes, content.cut) | {holes[-1]: last}
        return None

    def _name_runs(self, gap: list[tuple[int, int | None]]) -> None:
        """Content that belongs to no header: one member for each run of it."""
        run = 0
        for _, raw in [*gap, (0, None)]:
            if raw is not None:
                run += raw
            elif run:
                self._emit_unnamed(run)
                run = 0

    def _emit_unnamed(self, size: int) -> None:
        self._release()
        self._unnamed += 1
        path = UNNAMED + b"/%04d" % self._unnamed
        nobody = Attributes(0o600, 0, 0, 0)
        at = self.position
        self._emit(Member(path, Kind.FILE, Role.ATTACHMENT, size, nobody, at, at, digest=UNKNOWN))
        self.position += size

    def _pass_block(self, why: str) -> None:
        """What is no header is passed over block by block, until one begins."""
        self._twice += len(self._head)
        passed = BLOCK if self._twice < _MOST_TWICE else len(self._head)
        rest = bytes(self._head[passed:])
        self._head.clear()
        self._need = BLOCK
        self._pass_junk(passed, why)
        if rest:
            self._consume(memoryview(rest))

    def _pass_to_header(self, rest: memoryview, why: str) -> memoryview:
        """The same where bytes may be missing: the next header can begin at any byte."""
        data = bytes(self._head) + bytes(rest)
        self._head.clear()
        self._need = BLOCK
        passed = find_header(data)
        self._pass_junk(passed, why)
        return memoryview(data)[passed:]

    def _pass_junk(self, size: int, why: str) -> None:
        if not self._junk:
            self._say(f"at byte {self.position} of the stream is {why}")
            self._doubt_the_last()
        self._junk += size

    def _doubt_the_last(self) -> None:
        """With too much behind it, nobody can tell whether it is the file that ended there."""
        last = self._finished
        if last is None or last.kind is not Kind.FILE:
            return
        if last.size >= FRAME_BYTES or not self._is_packed:
            self._finished = replace(last, digest=UNKNOWN)

    def _flush_junk(self) -> None:
        if self._junk:
            size, self._junk = self._junk, 0
            self._emit_unnamed(size)

    def _drop_head(self) -> None:
        """The beginning of a header whose rest is missing."""
        self._flush_junk()
        if self._head:
            size = len(self._head)
            self._head.clear()
            self._need = BLOCK
            self._say(f"at byte {self.position} of the stream a header is cut off")
            self._emit_unnamed(size)

    def _say(self, problem: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(problem)
