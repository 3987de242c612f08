"""Members on their way into the manifest: kept on the disk, not in memory."""

import json
from collections.abc import Iterator
from typing import BinaryIO

from engine.member import Member, member_from_json, member_to_json

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class MemberSpool:
    """The lines of the members, one after the other."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.count = 0

    def start_over(self) -> None:
        """Forget all members. Raises OSError."""
        self._stream.seek(0)
        self._stream.truncate()
        self.count = 0

    def add(self, member: Member) -> None:
        """Write one member behind the others. Raises OSError."""
        line = _encode(member_to_json(member)).encode("ascii")
        self._stream.write(b",\n" + line if self.count else line)
        self.count += 1

    def members(self) -> Iterator[Member]:
        """All of them again, in order; none is added meanwhile. Raises OSError."""
        self._stream.seek(0)
        for line in self._stream:
            yield member_from_json(json.loads(line.rstrip(b",\n")))
