"""The header of one member read back from a tar stream: the reverse of engine/tarstream.py, and no more than that. Pure.

What `member_header` never writes is not a member of ours and is refused: devices, other dialects, global
headers, numbers out of range.
"""

import re
from dataclasses import dataclass, replace

from engine.member import LARGEST_FILE, LARGEST_ID, LARGEST_TIME_NS, Attributes, Kind, Member, Role
from engine.tarstream import BLOCK, padding

# the magic of a header, and where it stands in the block
USTAR = b"ustar\x0000"
USTAR_AT = 257
_KINDS = {b"0": Kind.FILE, b"5": Kind.FOLDER, b"2": Kind.SYMLINK, b"1": Kind.HARDLINK}
_LARGEST_PAX = 1 << 20
# each piece takes 512 KiB of the file at least, so ours never come near
_MOST_EXTENTS = 1 << 20
_MOST = 2**63 - 1
_OCTAL = re.compile(rb"[0-7]+")
_RECORD = re.compile(rb"(\d{1,7}) ([^=]{1,64})=")
_TIME = re.compile(rb"-?\d{1,19}(\.\d{0,30})?")
_MAP = re.compile(rb"(\d{1,8})\n")
_DATA_ENDINGS = (b".4dd", b".match")
# GNU tar and we put it before the name of a sparse file; the true name is in the extended header before
_SPARSE = b"GNUSparseFile.0/"
UNNAMED = b"found without a name"


class NotAHeaderError(Exception):
    """What stands there is not the header of a member of ours; the text says why."""


@dataclass(frozen=True, slots=True)
class NeedMore:
    """The header goes on: this many bytes of it are needed in all, at least."""

    count: int


def is_header_block(block: bytes) -> bool:
    """Whether these 512 bytes can begin a member: the magic and the checksum are right."""
    if len(block) != BLOCK or block[USTAR_AT : USTAR_AT + len(USTAR)] != USTAR:
        return False
    found = _OCTAL.match(block, 148, 156)
    total = sum(block) - sum(block[148:156]) + 8 * 0x20
    return found is not None and int(found[0], 8) == total


def parse_member(data: bytes, at: int, *, behind_junk: bool = False) -> Member | NeedMore:
    """The member whose header begins with `data`, at offset `at` of the stream.

    `behind_junk`: what comes before is no member; it may have been the first half of this header. Its digest is not known here, and its role is guessed from its path. Raises NotAHeaderError.
    """
    records: dict[bytes, bytes] = {}
    position = 0
    if len(data) < BLOCK:
        return NeedMore(BLOCK)
    _expect_header(data[:BLOCK])
    if data[156:157] == b"x":
        size = _octal(data[124:136])
        if size > _LARGEST_PAX:
            raise NotAHeaderError(f"an extended header of {size} bytes")
        position = BLOCK + size + padding(size)
        if len(data) < position + BLOCK:
            return NeedMore(position + BLOCK)
        records = _records(data[BLOCK : BLOCK + size])
        _expect_header(data[position : position + BLOCK])
    member = _member(data, position, records, at)
    if behind_junk and isinstance(member, Member) and member.path.startswith(_SPARSE):
        return _orphan(data, position + BLOCK, member)
    return member


def _orphan(data: bytes, end: int, member: Member) -> Member | NeedMore:
    """A sparse file whose extended header is lost: without its true name, and with what its map tells, if that is one."""
    orphan = replace(member, path=UNNAMED + member.path[len(_SPARSE) - 1 :])
    try:
        parsed = _sparse_map(data, end)
        if isinstance(parsed, NeedMore):
            return parsed
        extents, begin = parsed
        size = sum(extents[-1]) if extents else 0
        _check_extents(extents, size, member.size - (begin - end))
    except NotAHeaderError:
        return orphan
    if size > LARGEST_FILE:
        return orphan
    return replace(orphan, size=size, extents=extents, data=orphan.header + begin)


def _member(data: bytes, position: int, records: dict[bytes, bytes], at: int) -> Member | NeedMore:
    block = data[position : position + BLOCK]
    kind = _KINDS.get(block[156:157])
    if kind is None:
        raise NotAHeaderError(f"a member of type {block[156:157]!r}, which no set has")
    stored = _number(records, b"size", _octal(block[124:136]))
    end = position + BLOCK
    size, extents = stored, None
    name = records.get(b"path", _name(block))
    if b"GNU.sparse.realsize" in records:
        parsed = _sparse_map(data, end)
        if isinstance(parsed, NeedMore):
            return parsed
        extents, end = parsed
        name = records.get(b"GNU.sparse.name", name)
        size = _number(records, b"GNU.sparse.realsize", 0)
        _check_extents(extents, size, stored - (end - position - BLOCK))
    if (kind is not Kind.FILE and stored) or size > LARGEST_FILE:
        raise NotAHeaderError(f"a {kind.value} of {size} bytes")
    path = name.rstrip(b"/")
    link = records.get(b"linkpath", _text(block[157:257]))
    if b"\0" in path or b"\0" in link or not path:
        raise NotAHeaderError("a name that no file has")
    return Member(
        path=path,
        kind=kind,
        role=guessed_role(path),
        size=size,
        attributes=_attributes(block, records),
        header=at,
        data=at + end,
        link=link if kind in (Kind.SYMLINK, Kind.HARDLINK) else None,
        extents=extents,
    )


def guessed_role(path: bytes) -> Role:
    """Why a member is in the set, from its path alone."""
    lower = path.lower()
    if lower.endswith(_DATA_ENDINGS) or lower.startswith(b"data/settings"):
        return Role.DATA
    if lower.startswith((b"project", b"settings")) or lower.endswith((b".4dz", b".4db", b".4dc")):
        return Role.STRUCTURE
    return Role.ATTACHMENT


def _expect_header(block: bytes) -> None:
    if not is_header_block(block):
        raise NotAHeaderError("no tar header of a set")


def _records(body: bytes) -> dict[bytes, bytes]:
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(body):
        found = _RECORD.match(body, at)
        end = at + int(found[1]) if found else 0
        if found is None or end > len(body) or end <= found.end() or body[end - 1 : end] != b"\n":
            raise NotAHeaderError("an extended header that is not one")
        records[found[2]] = body[found.end() : end - 1]
        at = end
    return records


def _sparse_map(data: bytes, at: int) -> tuple[tuple[tuple[int, int], ...], int] | NeedMore:
    """The extents of a sparse file, and where its content begins."""
    found = _MAP.match(data, at)
    if found is None:
        if len(data) < at + BLOCK:
            return NeedMore(at + BLOCK)
        raise NotAHeaderError("a sparse file without a map")
    count = int(found[1])
    if count > _MOST_EXTENTS:
        raise NotAHeaderError(f"a sparse file of {count} pieces")
    end = found.end()
    numbers: list[int] = []
    for _ in range(2 * count):
        stop = data.find(b"\n", end, end + 21)
        if stop < 0:
            if len(data) < end + 21:
                # about as many bytes as the rest of the map can take
                return NeedMore(
                    max(end + 21, min(end + 20 * (2 * count - len(numbers)), len(data) * 2))
                )
            raise NotAHeaderError("a map of a sparse file that is not one")
        numbers.append(_decimal(data[end:stop]))
        end = stop + 1
    end += padding(end - at)
    if len(data) < end:
        return NeedMore(end)
    return tuple(zip(numbers[::2], numbers[1::2], strict=True)), end


def _check_extents(extents: tuple[tuple[int, int], ...], size: int, stored: int) -> None:
    last = 0
    for offset, length in extents:
        if offset < last or offset + length > size:
            raise NotAHeaderError("pieces of a sparse file out of order")
        last = offset + length
    if sum(length for _, length in extents) != stored:
        raise NotAHeaderError("a sparse file whose pieces are not its content")


def _attributes(block: bytes, records: dict[bytes, bytes]) -> Attributes:
    seconds = records.get(b"mtime")
    mtime_ns = _octal(block[136:148]) * 10**9
    if seconds is not None:
        if _TIME.fullmatch(seconds) is None:
            raise NotAHeaderError("a time that is not one")
        whole, _, part = seconds.lstrip(b"-").partition(b".")
        mtime_ns = int(whole) * 10**9 + int(part[:9].ljust(9, b"0"))
        mtime_ns = -mtime_ns if seconds.startswith(b"-") else mtime_ns
        if abs(mtime_ns) > LARGEST_TIME_NS:
            raise NotAHeaderError("a time that no file has")
    return Attributes(
        mode=_octal(block[100:108]) & 0o7777,
        uid=_owner(records, b"uid", block[108:116]),
        gid=_owner(records, b"gid", block[116:124]),
        mtime_ns=mtime_ns,
    )


def _owner(records: dict[bytes, bytes], key: bytes, field: bytes) -> int:
    number = _number(records, key, _octal(field))
    if number > LARGEST_ID:
        raise NotAHeaderError(f"the owner {number}")
    return number


def _name(block: bytes) -> bytes:
    prefix, name = _text(block[345:500]), _text(block[:100])
    return prefix + b"/" + name if prefix else name


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _octal(field: bytes) -> int:
    text = field.strip(b" \0")
    if not text:
        return 0
    if _OCTAL.fullmatch(text) is None:
        raise NotAHeaderError(f"the number {text!r}")
    return int(text, 8)


def _number(records: dict[bytes, bytes], key: bytes, otherwise: int) -> int:
    return _decimal(records[key]) if key in records else otherwise


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19 or int(text) > _MOST:
        raise NotAHeaderError(f"the number {text[:30]!r}")
    return int(text)
