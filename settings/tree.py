"""Bytes of XML to a small tree that knows where every value stands; hostile input is refused early.

The standard library's expat gives byte offsets, which reading, line numbers and write-back all need; lxml
keeps neither offsets nor CR line ends. Nothing is fetched, no entity is ever expanded.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from settings.errors import SettingsRefusedError
from settings.model import Finding, Severity

MOST_BYTES = 1 << 20
MOST_DEPTH = 32
MOST_ELEMENTS = 4_000
MOST_TEXT = 32_768
_LONGEST_PROLOG = 65_536
_CHUNK = 16_384
_BOM = b"\xef\xbb\xbf"

_START_TAG = re.compile(rb"""<(?:[^>"']|"[^"]*"|'[^']*')*>""")
_PROLOG_PART = re.compile(rb"[ \t\r\n]+|<\?.*?\?>|<!--.*?-->", re.DOTALL)
_DECLARED = re.compile(rb"""<\?xml[^>]*?\bencoding\s*=\s*["']([^"'>]{0,40})["']""")


@dataclass(frozen=True, slots=True)
class Node:
    """One element: `start`..`end` is all of it, `inner_start`..`inner_end` what stands between its tags.

    `name` is the local name; `text` is its own text without that of its children. An element written
    `<Key/>` has `inner_start` == `inner_end` == `end`.
    """

    name: str
    text: str
    line: int
    start: int
    inner_start: int
    inner_end: int
    end: int
    children: tuple["Node", ...]

    @property
    def self_closed(self) -> bool:
        """True for `<Key/>`."""
        return self.inner_end == self.end


@dataclass(slots=True)
class _Open:
    name: str
    line: int
    start: int
    inner_start: int
    self_closed: bool
    text: list[str] = field(default_factory=list)
    text_length: int = 0
    children: list[Node] = field(default_factory=list)


class _RefusedError(Exception):
    def __init__(self, offset: int, read: str, why: str) -> None:
        super().__init__(why)
        self.offset = offset
        self.read = read
        self.why = why


def parse_tree(data: bytes, file: Path) -> Node:
    """Return the root element, or refuse the whole file with the line and the reason."""
    try:
        _refuse_foreign_bytes(data)
        _refuse_prolog(data)
        return _Builder(data).run()
    except _RefusedError as error:
        line = line_at(data, error.offset)
        finding = Finding(Severity.ERROR, "", line, error.read, "", error.why)
        raise SettingsRefusedError(file, [finding]) from None


def line_at(data: bytes, offset: int) -> int:
    """Return the line of a byte, from 1, with LF, CR and CRLF as line ends."""
    return 1 + _line_ends(data, 0, offset)


def find_nodes(node: Node, path: str) -> list[Node]:
    """Return every element at `path` below `node`, also when a block on the way occurs twice."""
    found = [node]
    for name in path.split("/"):
        found = [child for parent in found for child in parent.children if child.name == name]
    return found


def walk(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """Yield each element below `node` with its path, in the order of the file."""
    for child in node.children:
        below = f"{path}/{child.name}" if path else child.name
        yield below, child
        yield from walk(child, below)


def _line_ends(data: bytes, start: int, stop: int) -> int:
    both = data.count(b"\n", start, stop) + data.count(b"\r", start, stop)
    return both - data.count(b"\r\n", start, stop)


def _refuse_foreign_bytes(data: bytes) -> None:
    if len(data) > MOST_BYTES:
        raise _RefusedError(0, "", too_large(len(data)))
    if not data.strip():
        raise _RefusedError(0, "", "the file is empty. Restore it, or let 4D write a new one")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:4]:
        raise _RefusedError(0, "", "this is UTF-16 or UTF-32, or not text. Save the file as UTF-8")
    declared = _DECLARED.match(data.removeprefix(_BOM))
    if declared and declared[1].upper() not in (b"UTF-8", b"UTF8", b"US-ASCII", b"ASCII"):
        name = declared[1].decode("ascii", "replace")
        raise _RefusedError(0, name, "only UTF-8 is read. Save the file as UTF-8 and declare it so")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        read = repr(data[error.start : error.start + 4])
        why = "these bytes are not UTF-8. Save the file as UTF-8"
        raise _RefusedError(error.start, read, why) from None


def too_large(size: int) -> str:
    """Say that a file of `size` bytes is no settings file."""
    return f"{size} bytes is too large for a settings file; up to {MOST_BYTES} bytes are read"


def _refuse_prolog(data: bytes) -> None:
    # A DOCTYPE is the door to entities; refused before expat sees it, because pyexpat goes on parsing
    # to the end of its chunk after a handler raised.
    position = len(_BOM) if data.startswith(_BOM) else 0
    while part := _PROLOG_PART.match(data, position, _LONGEST_PROLOG):
        position = part.end()
    if position >= _LONGEST_PROLOG or data[position : position + 4] == b"<!--":
        raise _RefusedError(position, "", "no element near the start: this is not a settings file")
    if data[position : position + 2] == b"<!":
        read = data[position : position + 40].decode("utf-8", "replace")
        raise _RefusedError(position, read, "a DOCTYPE is not allowed. Remove it")
    if data[position : position + 1] != b"<":
        read = data[position : position + 20].decode("utf-8", "replace")
        raise _RefusedError(position, read, "this is not XML")


class _Builder:
    """One pass of expat over the bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.open: list[_Open] = []
        self.root: Node | None = None
        self.elements = 0
        self.line = 1
        self.counted_to = 0
        self.parser = expat.ParserCreate("UTF-8", namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.on_start
        self.parser.EndElementHandler = self.on_end
        self.parser.CharacterDataHandler = self.on_text
        self.parser.StartDoctypeDeclHandler = self.on_doctype

    def run(self) -> Node:
        try:
            for at in range(0, len(self.data), _CHUNK):
                self.parser.Parse(self.data[at : at + _CHUNK], False)
            self.parser.Parse(b"", True)
        except expat.ExpatError as error:
            why = f"not well-formed XML: {expat.ErrorString(error.code)}"
            raise _RefusedError(max(self.parser.ErrorByteIndex, 0), "", why) from None
        if self.root is None:
            raise _RefusedError(0, "", "the file holds no element")
        return self.root

    def on_start(self, name: str, _attributes: dict[str, str]) -> None:
        at = self.parser.CurrentByteIndex
        self.elements += 1
        if self.elements > MOST_ELEMENTS:
            raise _RefusedError(at, "", f"more than {MOST_ELEMENTS} elements: no settings file")
        if len(self.open) >= MOST_DEPTH:
            raise _RefusedError(
                at, "", f"elements nested deeper than {MOST_DEPTH}: no settings file"
            )
        tag = _START_TAG.match(self.data, at)
        if tag is None:
            raise _RefusedError(at, "", "a start tag without end")
        local = name.rpartition(" ")[2]
        closed = tag[0].endswith(b"/>")
        self.open.append(_Open(local, self.line_of(at), at, tag.end(), closed))

    def on_end(self, _name: str) -> None:
        node = self.close(self.open.pop())
        if self.open:
            self.open[-1].children.append(node)
        else:
            self.root = node

    def close(self, element: _Open) -> Node:
        inner_end = end = element.inner_start
        if not element.self_closed:
            inner_end = self.parser.CurrentByteIndex
            end = self.data.index(b">", inner_end) + 1
        return Node(
            name=element.name,
            text="".join(element.text),
            line=element.line,
            start=element.start,
            inner_start=element.inner_start,
            inner_end=inner_end,
            end=end,
            children=tuple(element.children),
        )

    def on_text(self, text: str) -> None:
        element = self.open[-1]
        element.text_length += len(text)
        if element.text_length > MOST_TEXT:
            why = f"a text of more than {MOST_TEXT} characters: no settings file"
            raise _RefusedError(element.start, text[:20], why)
        element.text.append(text)

    def on_doctype(self, name: str, *_rest: object) -> None:
        raise _RefusedError(
            self.parser.CurrentByteIndex, name, "a DOCTYPE is not allowed. Remove it"
        )

    def line_of(self, offset: int) -> int:
        self.line += _line_ends(self.data, self.counted_to, offset)
        self.counted_to = offset
        return self.line
