"""The bytes of a pax tar stream, made by hand: four times as fast as tarfile for many small files.

Pure. POSIX.1-2001 pax for what ustar cannot say; GNU sparse format 1.0 for files with holes; names that
are not UTF-8 stay the bytes they are (GNU tar and Python's tarfile both read them back).
"""

from functools import lru_cache

from engine.member import Attributes, Kind, Member, stored_bytes

BLOCK = 512
END = bytes(2 * BLOCK)

_TYPE = {Kind.FILE: b"0", Kind.FOLDER: b"5", Kind.SYMLINK: b"2", Kind.HARDLINK: b"1"}
_MAX_NUMBER = 0o7777777
_MAX_SIZE = 0o77777777777
_SECOND = 1_000_000_000
_MAGIC = b"ustar\x0000"
_NO_DEVICE = b"0000000\x000000000\0"
_FIXED_SUM = sum(b"        " + _MAGIC + _NO_DEVICE)


def padding(size: int) -> int:
    """Bytes that fill the last block of `size` bytes."""
    return -size % BLOCK


def member_end(member: Member) -> int:
    """Where the next member of the stream begins."""
    stored = stored_bytes(member)
    return member.data + stored + padding(stored)


def member_header(
    path: bytes,
    kind: Kind,
    attributes: Attributes,
    *,
    size: int = 0,
    link: bytes = b"",
    extents: tuple[tuple[int, int], ...] | None = None,
) -> bytes:
    """All header blocks of one member, with the map of a sparse file behind them.

    `size` is the real size in bytes; `path` has no trailing slash. What follows in the stream is the
    content (for a sparse member: its extents joined), padded to whole blocks.
    """
    records: list[tuple[bytes, bytes]] = []
    name, stored, sparse_map = path, size, b""
    if extents is not None:
        sparse_map = _sparse_map(extents)
        stored = len(sparse_map) + sum(length for _, length in extents)
        records += [
            (b"GNU.sparse.major", b"1"),
            (b"GNU.sparse.minor", b"0"),
            (b"GNU.sparse.name", path),
            (b"GNU.sparse.realsize", b"%d" % size),
        ]
        name = b"GNUSparseFile.0/" + path.rsplit(b"/", 1)[-1][:80]
    elif kind is Kind.FOLDER:
        name = path + b"/"
    prefix, short = _split_name(name)
    if short is None:
        records.append((b"path", name))
        short = name[:100]
    if len(link) > 100:
        records.append((b"linkpath", link))
    records += _number_records(attributes, stored)
    seconds = min(max(attributes.mtime_ns // _SECOND, 0), _MAX_SIZE)
    block = _ustar(short, prefix, _TYPE[kind], link[:100], attributes, stored, seconds)
    if not records:
        return block + sparse_map
    body = b"".join(_record(key, value) for key, value in records)
    pax = _ustar(b"PaxHeaders/pax", b"", b"x", b"", Attributes(0o644, 0, 0, 0), len(body), seconds)
    return b"".join((pax, body, bytes(padding(len(body))), block, sparse_map))


def _number_records(attributes: Attributes, stored: int) -> list[tuple[bytes, bytes]]:
    records: list[tuple[bytes, bytes]] = []
    seconds, nanoseconds = divmod(attributes.mtime_ns, _SECOND)
    if nanoseconds or not 0 <= seconds <= _MAX_SIZE:
        records.append((b"mtime", _decimal(attributes.mtime_ns)))
    if stored > _MAX_SIZE:
        records.append((b"size", b"%d" % stored))
    if attributes.uid > _MAX_NUMBER:
        records.append((b"uid", b"%d" % attributes.uid))
    if attributes.gid > _MAX_NUMBER:
        records.append((b"gid", b"%d" % attributes.gid))
    return records


def _decimal(mtime_ns: int) -> bytes:
    seconds, nanoseconds = divmod(abs(mtime_ns), _SECOND)
    return b"%s%d.%09d" % (b"-" if mtime_ns < 0 else b"", seconds, nanoseconds)


def _record(key: bytes, value: bytes) -> bytes:
    """One pax record; its length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _split_name(name: bytes) -> tuple[bytes, bytes | None]:
    """ustar's (prefix, name), name None when only pax can hold it."""
    if len(name) <= 100:
        return b"", name
    at = name.find(b"/", max(0, len(name) - 101))
    if 0 < at <= 155 and 0 < len(name) - at - 1 <= 100:
        return name[:at], name[at + 1 :]
    return b"", None


def _sparse_map(extents: tuple[tuple[int, int], ...]) -> bytes:
    lines = [b"%d\n" % len(extents)]
    lines += [b"%d\n%d\n" % extent for extent in extents]
    text = b"".join(lines)
    return text + bytes(padding(len(text)))


def _ustar(  # noqa: PLR0913, PLR0917 - the fields of the block
    name: bytes,
    prefix: bytes,
    typeflag: bytes,
    link: bytes,
    attributes: Attributes,
    size: int,
    seconds: int,
) -> bytes:
    numbers, numbers_sum = _mode_and_owner(attributes.mode, attributes.uid, attributes.gid)
    amounts = b"%011o\0%011o\0" % (min(size, _MAX_SIZE), seconds)
    # the checksum is that of the block with eight spaces in its place; zero bytes add nothing
    checksum = _FIXED_SUM + numbers_sum + sum(name) + sum(amounts) + sum(link) + sum(prefix)
    return b"".join(
        (
            name.ljust(100, b"\0"),
            numbers,
            amounts,
            b"%06o\0 " % (checksum + typeflag[0]),
            typeflag,
            link.ljust(100, b"\0"),
            _MAGIC,
            bytes(64),
            _NO_DEVICE,
            prefix.ljust(155, b"\0"),
            bytes(12),
        )
    )


@lru_cache(maxsize=256)
def _mode_and_owner(mode: int, uid: int, gid: int) -> tuple[bytes, int]:
    """Three fields of a block, and the sum of their bytes; an application has few different ones."""
    owner = (min(uid, _MAX_NUMBER), min(gid, _MAX_NUMBER))
    fields = b"%07o\0%07o\0%07o\0" % (mode & 0o7777, *owner)
    return fields, sum(fields)
