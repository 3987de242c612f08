"""The hand-made tar headers say to Python's tarfile exactly what they were made from."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.member import Attributes, Kind
from engine.tarstream import BLOCK, END, member_header, padding

_PART = st.binary(min_size=1, max_size=255).map(
    lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_")
)
PARTS = _PART.filter(lambda part: part not in {b".", b".."})
PATHS = st.lists(PARTS, min_size=1, max_size=6).map(b"/".join)
LINKS = st.binary(min_size=1, max_size=4095).map(lambda raw: raw.replace(b"\0", b"_"))
ATTRIBUTES = st.builds(
    Attributes,
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**32 - 2),
    gid=st.integers(0, 2**32 - 2),
    mtime_ns=st.integers(-(2**62), 2**63 - 1),
)
SIZES = st.integers(0, 2**40)


def read_back(header: bytes) -> tarfile.TarInfo:
    """What tarfile takes from a header; only headers and the map of a sparse member are looked at."""
    stream = io.BytesIO(header + END)
    with tarfile.open(fileobj=stream, mode="r:", errors="surrogateescape") as tar:
        info = tar.next()
    assert info is not None
    return info


def vars_of(info: tarfile.TarInfo) -> dict[str, object]:
    """What typeshed tells wrongly: `sparse` is a list of (offset, length)."""
    return {"sparse": info.sparse}


def assert_told(info: tarfile.TarInfo, path: bytes, attributes: Attributes) -> None:
    assert info.name.encode("utf-8", "surrogateescape").rstrip(b"/") == path.rstrip(b"/")
    assert (info.mode, info.uid, info.gid) == (attributes.mode, attributes.uid, attributes.gid)
    assert float(info.mtime) == pytest.approx(attributes.mtime_ns / 1e9, abs=1e-3, rel=1e-9)


@given(path=PATHS, attributes=ATTRIBUTES, size=SIZES)
def test_a_file_is_read_back_as_it_was_told(path: bytes, attributes: Attributes, size: int) -> None:
    header = member_header(path, Kind.FILE, attributes, size=size)

    info = read_back(header)

    assert len(header) % BLOCK == 0
    assert info.isreg()
    assert info.size == size
    assert_told(info, path, attributes)


@given(path=PATHS, attributes=ATTRIBUTES)
def test_a_folder_is_read_back_as_it_was_told(path: bytes, attributes: Attributes) -> None:
    info = read_back(member_header(path, Kind.FOLDER, attributes))

    assert info.isdir()
    assert_told(info, path, attributes)


@given(path=PATHS, link=LINKS, attributes=ATTRIBUTES)
def test_a_symbolic_link_is_read_back_as_it_was_told(
    path: bytes, link: bytes, attributes: Attributes
) -> None:
    info = read_back(member_header(path, Kind.SYMLINK, attributes, link=link))

    assert info.issym()
    assert info.linkname.encode("utf-8", "surrogateescape") == link
    assert_told(info, path, attributes)


@given(path=PATHS, link=PATHS, attributes=ATTRIBUTES)
def test_a_hard_link_is_read_back_as_it_was_told(
    path: bytes, link: bytes, attributes: Attributes
) -> None:
    info = read_back(member_header(path, Kind.HARDLINK, attributes, link=link))

    assert info.islnk()
    assert info.linkname.encode("utf-8", "surrogateescape") == link
    assert_told(info, path, attributes)


@given(
    path=PATHS,
    attributes=ATTRIBUTES,
    pieces=st.lists(st.tuples(st.integers(1, 2**34), st.integers(1, 2**20)), max_size=40),
    tail=st.integers(0, 2**40),
)
def test_a_sparse_file_is_read_back_as_it_was_told(
    path: bytes, attributes: Attributes, pieces: list[tuple[int, int]], tail: int
) -> None:
    extents: list[tuple[int, int]] = []
    position = 0
    for gap, blocks in pieces:
        extents.append((position + gap * BLOCK, blocks * BLOCK))
        position = sum(extents[-1])
    size = position + tail
    if tail:
        extents.append((size, 0))

    header = member_header(path, Kind.FILE, attributes, size=size, extents=tuple(extents))
    info = read_back(header)

    assert info.issparse()
    assert info.size == size
    assert vars_of(info)["sparse"] == extents
    assert_told(info, path, attributes)


@given(size=st.integers(0, 2**60))
def test_padding_fills_the_last_block(size: int) -> None:
    assert (size + padding(size)) % BLOCK == 0
    assert 0 <= padding(size) < BLOCK


@given(path=PATHS, attributes=ATTRIBUTES, size=SIZES)
def test_a_header_depends_on_nothing_but_its_member(
    path: bytes, attributes: Attributes, size: int
) -> None:
    once = member_header(path, Kind.FILE, attributes, size=size)

    assert member_header(path, Kind.FILE, attributes, size=size) == once


@pytest.mark.parametrize("length", [*range(95, 106), *range(250, 260)])
@pytest.mark.parametrize("kind", [Kind.FILE, Kind.FOLDER])
def test_names_around_the_limits_of_ustar_are_whole(length: int, kind: Kind) -> None:
    for cut in (1, 50, 99, 100, 101, 154, 155, 156):
        if cut < length - 1:
            path = b"a" * cut + b"/" + b"b" * (length - cut - 1)
            assert_told(
                read_back(member_header(path, kind, Attributes(0o644, 0, 0, 0))),
                path,
                Attributes(0o644, 0, 0, 0),
            )


@pytest.mark.parametrize("length", range(80, 112))
def test_a_pax_record_counts_its_own_digits(length: int) -> None:
    """Around 99 and 100 bytes the length of the length changes."""
    path = "é".encode() * 60 + b"x" * length
    info = read_back(member_header(path, Kind.FILE, Attributes(0o644, 0, 0, 0)))

    assert info.name.encode() == path


def test_what_ustar_can_say_needs_no_pax_header() -> None:
    header = member_header(b"Data/data.4DD", Kind.FILE, Attributes(0o644, 500, 500, 10**18), size=5)

    assert len(header) == BLOCK
    assert header[257:265] == b"ustar\x0000"


@pytest.mark.parametrize("length", [*range(985, 1000), *range(9980, 10000)])
def test_a_record_counts_its_own_digits_where_these_grow(length: int) -> None:
    path = (b"n" * 99 + b"/") * (length // 100) + b"n" * (length % 100)
    path = path.removesuffix(b"/") + b"n" * path.endswith(b"/")

    info = read_back(member_header(path, Kind.FILE, Attributes(0o644, 0, 0, 0)))

    assert info.name.encode() == path


@pytest.mark.parametrize("length", range(75, 85))
def test_the_name_of_a_sparse_file_is_whole_where_the_digits_grow(length: int) -> None:
    extents = ((512, 512),)
    header = member_header(
        b"n" * length, Kind.FILE, Attributes(0o644, 0, 0, 0), size=1024, extents=extents
    )

    assert read_back(header).name.encode() == b"n" * length
