"""What one member of an archive is, and its form in the manifest."""

import base64
from dataclasses import dataclass
from enum import Enum
from typing import Any

# ext4 has no larger file; what claims more would only make us hash its holes for days
LARGEST_FILE = 16 << 40
_MOST_BYTES = 2**63 - 1
_MOST_INODE = 2**64 - 1
# the last number is -1 to the kernel: "leave the owner as it is"
LARGEST_ID = 2**32 - 2
LARGEST_TIME_NS = (2**63 - 1) * 10**9


class Kind(Enum):
    """What a member is."""

    FILE = "file"
    FOLDER = "folder"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"


class Role(Enum):
    """Why a member is in the set."""

    DATA = "data"
    LOG = "log"
    STRUCTURE = "structure"
    ATTACHMENT = "attachment"


@dataclass(frozen=True, slots=True)
class Attributes:
    """What the file system says of a member: permission bits, owner numbers, mtime in nanoseconds."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What changes with every write to a file, whatever a program then does to its mtime: inode, ctime in nanoseconds."""

    inode: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class Member:
    """One file, folder or link of a set.

    `path` is relative, with `/`, as the bytes of the source's name. `size` is in bytes of content (0
    for folders and links). `header` and `data` are offsets in the uncompressed stream of its archive;
    `data` is where the content begins (after the map of a sparse member). `extents` lists the stored
    (offset, length) pieces of a sparse file, None when it is stored whole; `holes` are those of a file that is
    stored whole all the same, in an archive that knows none. `digest` is the BLAKE3 of
    the whole content in hex, None for what is no file. `link` is the target of a link. `seen` is known of large
    files on file systems that keep it truly.
    """

    path: bytes
    kind: Kind
    role: Role
    size: int
    attributes: Attributes
    header: int
    data: int
    digest: str | None = None
    link: bytes | None = None
    extents: tuple[tuple[int, int], ...] | None = None
    seen: Seen | None = None
    holes: tuple[tuple[int, int], ...] = ()


def content_extents(member: Member) -> tuple[tuple[int, int], ...]:
    """(offset in the file, length) of what the stream holds of a member's content."""
    if member.extents is not None:
        return member.extents
    return ((0, member.size),) if member.kind is Kind.FILE else ()


def stored_bytes(member: Member) -> int:
    """How many bytes of content the stream holds of a member."""
    return sum(length for _, length in content_extents(member))


def disk_extents(member: Member) -> tuple[tuple[int, int], ...]:
    """(offset, length) of what takes room on a disk: the content without its holes."""
    if not member.holes:
        return content_extents(member)
    return _between(member.holes, member.size)


def disk_bytes(member: Member) -> int:
    """How much room a member's content takes."""
    return sum(length for _, length in disk_extents(member))


def disk_length(member: Member, offset: int, length: int) -> int:
    """How much room a piece of a member's content takes."""
    holes = 0
    for start, count in member.holes:
        holes += max(0, min(offset + length, start + count) - max(offset, start))
    return max(length - holes, 0)


def holes_of(member: Member) -> tuple[tuple[int, int], ...]:
    """(offset, length) of the holes of a member that is stored in pieces."""
    return () if member.extents is None else _between(member.extents, member.size)


def _between(pieces: tuple[tuple[int, int], ...], size: int) -> tuple[tuple[int, int], ...]:
    """What lies between these pieces, and behind the last one."""
    found: list[tuple[int, int]] = []
    position = 0
    for offset, length in (*pieces, (size, 0)):
        start = min(offset, size)
        if start > position:
            found.append((position, start - position))
        position = max(position, min(offset + length, size))
    return tuple(found)


def _encode_name(key: str, name: bytes) -> dict[str, str]:
    try:
        return {key: name.decode("utf-8")}
    except UnicodeDecodeError:
        return {f"{key}_base64": base64.b64encode(name).decode("ascii")}


def _decode_name(key: str, row: dict[str, Any]) -> bytes | None:
    if key in row:
        name = _text(row[key]).encode("utf-8")
    elif f"{key}_base64" in row:
        name = base64.b64decode(_text(row[f"{key}_base64"]), validate=True)
    else:
        return None
    if b"\0" in name:
        raise ValueError("a name with a zero byte")
    return name


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a text: {value!r}")
    return value


def _number(value: object, *, most: int = _MOST_BYTES, least: int = 0) -> int:
    """A whole number that a file system could have given; a damaged manifest must not send us counting for ever."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"not a number that can be: {value!r}")
    return value


def _seen_from_json(value: object) -> Seen | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"not an inode and its time: {value!r}")
    inode, ctime_ns = value
    least, most = -LARGEST_TIME_NS, LARGEST_TIME_NS
    return Seen(_number(inode, most=_MOST_INODE), _number(ctime_ns, least=least, most=most))


def member_to_json(member: Member) -> dict[str, Any]:
    """The manifest's form of a member; absent keys are the plain case (docs/archive-format.md)."""
    row: dict[str, Any] = {
        **_encode_name("path", member.path),
        "type": member.kind.value,
        "role": member.role.value,
        "size": member.size,
        "mode": f"{member.attributes.mode:04o}",
        "uid": member.attributes.uid,
        "gid": member.attributes.gid,
        "mtime_ns": member.attributes.mtime_ns,
        "header": member.header,
        "data": member.data,
    }
    if member.digest is not None:
        row["blake3"] = member.digest
    if member.link is not None:
        row.update(_encode_name("link", member.link))
    if member.extents is not None:
        row["extents"] = [list(extent) for extent in member.extents]
    if member.holes:
        row["holes"] = [list(hole) for hole in member.holes]
    if member.seen is not None:
        row["seen"] = [member.seen.inode, member.seen.ctime_ns]
    return row


def member_from_json(row: dict[str, Any]) -> Member:
    """Read a member back. Raises KeyError, TypeError or ValueError when it is not one."""
    path = _decode_name("path", row)
    if path is None:
        raise KeyError("path")
    extents = row.get("extents")
    digest = row.get("blake3")
    kind = Kind(row["type"])
    if kind is Kind.FILE and digest is None:
        raise KeyError("blake3")
    return Member(
        path=path,
        kind=kind,
        role=Role(row["role"]),
        size=_number(row["size"]),
        attributes=Attributes(
            mode=_number(int(row["mode"], 8), most=0o7777),
            uid=_number(row["uid"], most=LARGEST_ID),
            gid=_number(row["gid"], most=LARGEST_ID),
            mtime_ns=_number(row["mtime_ns"], least=-LARGEST_TIME_NS, most=LARGEST_TIME_NS),
        ),
        header=_number(row["header"]),
        data=_number(row["data"]),
        digest=None if digest is None else _text(digest),
        link=_decode_name("link", row),
        extents=None if extents is None else tuple((_number(o), _number(n)) for o, n in extents),
        seen=_seen_from_json(row.get("seen")),
        holes=tuple((_number(o), _number(n)) for o, n in row.get("holes", ())),
    )
