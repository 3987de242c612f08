"""What one member of an archive is, and its form in the manifest."""

import base64
from dataclasses import dataclass
from enum import Enum
from typing import Any


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
class Member:
    """One file, folder or link of a set.

    `path` is relative, with `/`, as the bytes of the source's name. `size` is in bytes of content (0
    for folders and links). `header` and `data` are offsets in the uncompressed stream of its archive;
    `data` is where the content begins (after the map of a sparse member). `extents` lists the stored
    (offset, length) pieces of a sparse file, None when it is stored whole. `digest` is the BLAKE3 of
    the whole content in hex, None for what is no file. `link` is the target of a link.
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


def content_extents(member: Member) -> tuple[tuple[int, int], ...]:
    """(offset in the file, length) of what the stream holds of a member's content."""
    if member.extents is not None:
        return member.extents
    return ((0, member.size),) if member.kind is Kind.FILE else ()


def _encode_name(key: str, name: bytes) -> dict[str, str]:
    try:
        return {key: name.decode("utf-8")}
    except UnicodeDecodeError:
        return {f"{key}_base64": base64.b64encode(name).decode("ascii")}


def _decode_name(key: str, row: dict[str, Any]) -> bytes | None:
    if key in row:
        return str(row[key]).encode("utf-8")
    if f"{key}_base64" in row:
        return base64.b64decode(row[f"{key}_base64"], validate=True)
    return None


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
    return row


def member_from_json(row: dict[str, Any]) -> Member:
    """Read a member back. Raises KeyError, TypeError or ValueError when it is not one."""
    path = _decode_name("path", row)
    if path is None:
        raise KeyError("path")
    extents = row.get("extents")
    return Member(
        path=path,
        kind=Kind(row["type"]),
        role=Role(row["role"]),
        size=int(row["size"]),
        attributes=Attributes(
            mode=int(row["mode"], 8),
            uid=int(row["uid"]),
            gid=int(row["gid"]),
            mtime_ns=int(row["mtime_ns"]),
        ),
        header=int(row["header"]),
        data=int(row["data"]),
        digest=row.get("blake3"),
        link=_decode_name("link", row),
        extents=None if extents is None else tuple((int(o), int(n)) for o, n in extents),
    )
