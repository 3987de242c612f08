"""Headers read back are what was written, and nothing else comes out of any bytes but a refusal."""

import itertools
import random
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.codec import FRAME_BYTES, Compressor
from engine.framescan import FoundFrame, scan_frames
from engine.member import LARGEST_FILE, LARGEST_ID, Attributes, Kind, Member
from engine.stop import StopRequest
from engine.tarparse import NeedMore, NotAHeaderError, parse_member
from engine.tarstream import BLOCK, END, member_header, padding
from engine.tarwalk import UNKNOWN, TarWalk
from settings.model import CompressionRate

_NAMES = st.lists(
    st.binary(min_size=1, max_size=120).map(lambda b: b.replace(b"\0", b"n").replace(b"/", b"s")),
    min_size=1,
    max_size=5,
).map(b"/".join)
_ATTRIBUTES = st.builds(
    Attributes,
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, LARGEST_ID),
    gid=st.integers(0, LARGEST_ID),
    mtime_ns=st.integers(-(2**70), 2**70),
)


@given(
    _NAMES,
    st.sampled_from(list(Kind)),
    _ATTRIBUTES,
    st.integers(0, LARGEST_FILE),
    _NAMES,
    st.integers(0, 2**50),
)
def test_every_header_of_ours_is_read_back(
    path: bytes, kind: Kind, attributes: Attributes, size: int, link: bytes, at: int
) -> None:
    is_link = kind in (Kind.SYMLINK, Kind.HARDLINK)
    size = size if kind is Kind.FILE else 0
    header = member_header(path, kind, attributes, size=size, link=link if is_link else b"")

    member = parse_member(header, at)

    assert isinstance(member, Member)
    assert (member.path, member.kind, member.attributes) == (path, kind, attributes)
    assert (member.size, member.link) == (size, link if is_link else None)
    assert (member.header, member.data) == (at, at + len(header))


@given(
    _NAMES,
    _ATTRIBUTES,
    st.lists(st.integers(0, 1 << 30), unique=True, max_size=200).map(sorted),
    st.integers(0, 1 << 30),
)
def test_every_map_of_a_sparse_file_is_read_back(
    path: bytes, attributes: Attributes, cuts: list[int], more: int
) -> None:
    pairs = zip(cuts[::2], cuts[1::2], strict=False)
    extents = tuple((low, high - low) for low, high in pairs)
    size = (cuts[-1] if cuts else 0) + more
    header = member_header(path, Kind.FILE, attributes, size=size, extents=(*extents, (size, 0)))

    member = parse_member(header, 0)

    assert isinstance(member, Member)
    assert (member.path, member.size, member.extents) == (path, size, (*extents, (size, 0)))
    assert member.data == len(header)


def test_a_sparse_file_that_lost_its_extended_header_keeps_its_shape_and_not_its_name() -> None:
    extents = ((1 << 20, 1 << 20), (5 << 20, 1 << 20), (9 << 20, 0))
    attributes = Attributes(0o644, 0, 0, 0)
    header = member_header(b"Data/holes", Kind.FILE, attributes, size=9 << 20, extents=extents)
    begin = 2 * BLOCK  # behind the extended header and its records

    orphan = parse_member(header[begin:], begin, behind_junk=True)
    ordinary = parse_member(header[begin:], begin)

    assert isinstance(orphan, Member)
    assert (orphan.path, orphan.size) == (b"found without a name/holes", 9 << 20)
    assert (orphan.extents, orphan.data) == (extents, len(header))
    assert isinstance(ordinary, Member)  # somebody may keep what another program has unpacked
    assert (ordinary.path, ordinary.extents) == (b"GNUSparseFile.0/holes", None)
    assert ordinary.size == (2 << 20) + BLOCK


def test_where_the_map_is_damaged_too_all_of_it_is_content_without_a_name() -> None:
    attributes = Attributes(0o644, 0, 0, 0)
    extents = ((1 << 20, 1 << 20), (9 << 20, 0))
    header = bytearray(
        member_header(b"holes", Kind.FILE, attributes, size=9 << 20, extents=extents)
    )
    header[3 * BLOCK + 4] ^= 0x40

    orphan = parse_member(bytes(header[2 * BLOCK :]), 0, behind_junk=True)

    assert isinstance(orphan, Member)
    assert (orphan.path, orphan.size) == (b"found without a name/holes", (1 << 20) + BLOCK)
    assert orphan.extents is None


@given(_NAMES, _ATTRIBUTES, st.integers(0, LARGEST_FILE), st.data())
def test_a_header_that_is_cut_off_asks_for_more(
    path: bytes, attributes: Attributes, size: int, data: st.DataObject
) -> None:
    header = member_header(path, Kind.FILE, attributes, size=size)
    count = data.draw(st.integers(0, len(header) - 1))

    answer = parse_member(header[:count], 0)

    assert isinstance(answer, NeedMore)
    assert count < answer.count <= len(header)


def changed(header: bytes, changes: list[tuple[int, int]]) -> bytes:
    """Some bytes changed, every block's checksum made right again."""
    data = bytearray(header)
    for at, value in changes:
        data[at % len(data)] = value
    for low in range(0, len(data), BLOCK):
        if data[low + 257 : low + 262] == b"ustar":
            data[low + 148 : low + 156] = b"        "
            data[low + 148 : low + 156] = b"%06o\0 " % sum(data[low : low + BLOCK])
    return bytes(data)


@settings(max_examples=400)
@given(
    _NAMES,
    _ATTRIBUTES,
    st.integers(0, LARGEST_FILE),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=8),
    st.booleans(),
)
def test_no_header_brings_anything_but_a_member_or_a_refusal(
    path: bytes, attributes: Attributes, size: int, changes: list[tuple[int, int]], sparse: bool
) -> None:
    extents = ((0, min(size, 512)), (size, 0)) if sparse else None
    header = member_header(path, Kind.FILE, attributes, size=size, extents=extents)
    try:
        member = parse_member(changed(header, changes), 0)
    except NotAHeaderError:
        return
    if isinstance(member, Member):
        assert member.path
        assert b"\0" not in member.path + (member.link or b"")
        assert 0 <= member.size <= LARGEST_FILE
        assert 0 <= member.attributes.uid <= LARGEST_ID
    else:
        assert BLOCK <= member.count <= 1 << 30


# --- frames ---------------------------------------------------------------------------------------


def scanned(data: bytes) -> list[FoundFrame]:
    return list(scan_frames(lambda at, count: data[at : at + max(count, 0)], len(data)))


@given(st.binary(max_size=3000), st.lists(st.binary(min_size=1, max_size=2000), max_size=4))
def test_the_frames_found_are_the_whole_archive(junk: bytes, blocks: list[bytes]) -> None:
    compressor = Compressor(CompressionRate.FAST)
    data = junk + b"".join(bytes(compressor.compress(memoryview(block))) for block in blocks)

    found = scanned(data)

    assert sum(frame.stored for frame in found) == len(data)
    assert [frame.offset for frame in found] == [
        sum(frame.stored for frame in found[:at]) for at in range(len(found))
    ]
    if not junk:
        assert [frame.raw for frame in found] == [len(block) for block in blocks]


@given(
    st.lists(st.binary(min_size=1, max_size=2000), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=5),
)
def test_whatever_is_changed_the_scan_ends_and_covers_all(
    blocks: list[bytes], changes: list[tuple[int, int]]
) -> None:
    compressor = Compressor(CompressionRate.FAST)
    data = bytearray().join(bytes(compressor.compress(memoryview(block))) for block in blocks)
    for at, value in changes:
        data[at % len(data)] = value

    found = scanned(bytes(data))

    assert sum(frame.stored for frame in found) == len(data)
    assert all(frame.stored > 0 for frame in found)


def test_an_archive_made_of_beginnings_of_frames_is_given_up_in_time() -> None:
    """Each of them could be one, with thousands of blocks: looking at all of them would take days."""
    data = (b"\x28\xb5\x2f\xfd\x24\x05" + b"\x02\x00\x00x" * 3) * 200_000

    found = scanned(data)

    assert sum(frame.stored for frame in found) == len(data)


# --- streams --------------------------------------------------------------------------------------


def stream(seed: int) -> list[tuple[bytes, bytes]]:
    """The frames of a small archive as the format cuts them, with the path that each begins with."""
    some = random.Random(seed)
    attributes = Attributes(0o644, 0, 0, 0)
    frames: list[tuple[bytes, bytes]] = []
    for at in range(some.randrange(1, 6)):
        large = some.random() < 0.4
        size = some.randrange(FRAME_BYTES, 3 * FRAME_BYTES) if large else some.randrange(5000)
        content = some.randbytes(1000) * (size // 1000 + 1)
        content = content[:size] + bytes(padding(size))
        header = member_header(b"file %d" % at, Kind.FILE, attributes, size=size)
        if not large:
            frames.append((b"", header + content))
            continue
        frames.append((b"", header))
        cuts = [*range(0, size, FRAME_BYTES), len(content)]
        frames += [(b"", content[low:high]) for low, high in itertools.pairwise(cuts)]
    return [*frames, (b"", END)]


def walked(parts: Iterator[bytes | None], *, packed: bool) -> tuple[TarWalk, list[Member]]:
    members: list[Member] = []
    walk = TarWalk(members.append, StopRequest(), is_packed=packed)
    index = -1
    for index, part in enumerate(parts):
        if part is None:
            walk.missing(index)
        else:
            walk.frame(index, part)
    walk.end(index + 1)
    return walk, members


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.data())
def test_the_walk_never_calls_whole_what_is_not(seed: int, data: st.DataObject) -> None:
    good = [part for _, part in stream(seed)]
    _, expected = walked(iter(good), packed=True)
    digests = {member.path: member.digest for member in expected}
    parts: list[bytes | None] = list(good)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(parts) - 1))
        match data.draw(st.sampled_from(["lost", "left out", "doubled", "junk"])):
            case "lost":
                parts[at] = None
            case "left out":
                del parts[at]
            case "doubled":
                parts.insert(at, parts[at])
            case _:
                parts.insert(at, random.Random(seed).randbytes(777))
        parts = parts or [None]

    walk, members = walked(iter(parts), packed=True)

    for member in members:
        assert member.digest in (UNKNOWN, digests.get(member.path)), member
    raws = [walk.raws.get(i, 0 if p is None else len(p)) for i, p in enumerate(parts)]
    assert walk.position == sum(raws) + walk.raws.get(len(parts), 0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=3000), max_size=6), st.booleans(), st.booleans())
def test_the_walk_takes_any_bytes(parts: list[bytes], packed: bool, header: bool) -> None:
    if header:
        parts = [member_header(b"x", Kind.FILE, Attributes(0, 0, 0, 0), size=10**6), *parts]

    walk, members = walked(iter(parts), packed=packed)

    assert all(member.digest == UNKNOWN for member in members if member.path != b"x")
    assert walk.position == sum(len(part) for part in parts) + walk.raws.get(len(parts), 0)
