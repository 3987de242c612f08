"""Puts one value into the bytes of a settings file; every other byte stays (BOM, line ends, comments)."""

import re
from dataclasses import dataclass
from html import escape

from settings.keys import ORDER, Key
from settings.tree import Node, find_nodes

_BEFORE = re.compile(rb"(\r\n|\r|\n|)([ \t]*)\Z")
_TAG_NAME = re.compile(rb"<([^\s/>]+)")
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_BLANKS = b" \t\r\n"
_NEAR = 4096


@dataclass(frozen=True, slots=True)
class _Style:
    """How the lines of a file around one place are written; old files are one line with blanks."""

    line_end: bytes
    indent: bytes
    prefix: bytes

    @property
    def deeper(self) -> "_Style":
        if not self.new_line:
            return self
        unit = b"\t" if b"\t" in self.indent else b"  "
        return _Style(self.line_end, self.indent + unit, self.prefix)

    @property
    def new_line(self) -> bytes:
        return self.line_end + self.indent


def replace_value(data: bytes, node: Node, text: str) -> bytes:
    """Return the bytes with the text of an element that is there."""
    value = _escaped(text)
    if node.self_closed:
        tag = data[node.start : node.end].removesuffix(b"/>").rstrip()
        whole = tag + b">" + value + b"</" + _name_at(data, node) + b">"
        return data[: node.start] + whole + data[node.end :]
    stop = node.children[0].start if node.children else node.inner_end
    inner = data[node.inner_start : stop]
    comments = b"".join(_COMMENT.findall(inner))
    # the blanks before a block inside Frequency are its indentation
    kept = inner[len(inner.rstrip(_BLANKS)) :] if node.children else b""
    return data[: node.inner_start] + value + comments + kept + data[stop:]


def insert_value(data: bytes, backup: Node, key: Key, text: str) -> bytes:
    """Return the bytes with an element that was absent, where 4D would write it, with its blocks."""
    places = (key.path, *(place for place in _same_name(key) if _is_nesting(backup, place)))
    path = max(places, key=lambda place: _depth(backup, place))
    names = path.split("/")
    depth = _depth(backup, path)
    parent = find_nodes(backup, "/".join(names[:depth]))[0] if depth else backup
    canonical = key.path.split("/")
    above = "/".join(canonical[: len(canonical) - len(names) + depth])
    later = _first_later(parent, above, canonical[len(canonical) - len(names) + depth])
    return _insert_under(data, parent, later, names[depth:], _escaped(text))


def _same_name(key: Key) -> list[str]:
    name = key.path.rpartition("/")[2]
    return [place for place in key.aliases if place.rpartition("/")[2] == name]


def _is_nesting(backup: Node, place: str) -> bool:
    """The manual's blocks inside Frequency count only in a file that has some there already."""
    names = place.split("/")
    if "Frequency" not in names[:-1]:
        return True
    outer = "/".join(names[: names.index("Frequency") + 1])
    return any(node.children for node in find_nodes(backup, outer))


def _depth(backup: Node, path: str) -> int:
    """How many steps of the path are there already."""
    names = path.split("/")
    depths = range(len(names), 0, -1)
    return next((d for d in depths if find_nodes(backup, "/".join(names[:d]))), 0)


def _first_later(parent: Node, above: str, name: str) -> Node | None:
    def rank(child: str) -> int:
        return ORDER.get(f"{above}/{child}" if above else child, -1)

    return next((c for c in parent.children if rank(c.name) > rank(name)), None)


def _insert_under(
    data: bytes, parent: Node, later: Node | None, names: list[str], value: bytes
) -> bytes:
    if later is not None:
        style = _style_at(data, later)
        block = _rendered(names, value, style) + style.new_line
        return data[: later.start] + block + data[later.start :]
    if parent.children:
        last = parent.children[-1]
        style = _style_at(data, last)
        return data[: last.end] + style.new_line + _rendered(names, value, style) + data[last.end :]
    outer = _style_at(data, parent)
    style = outer.deeper
    block = style.new_line + _rendered(names, value, style) + outer.new_line
    return _fill(data, parent, block)


def _fill(data: bytes, parent: Node, block: bytes) -> bytes:
    if parent.self_closed:
        tag = data[parent.start : parent.end].removesuffix(b"/>").rstrip()
        whole = tag + b">" + block + b"</" + _name_at(data, parent) + b">"
        return data[: parent.start] + whole + data[parent.end :]
    kept = data[: parent.inner_end].rstrip(_BLANKS)
    start = max(len(kept), parent.inner_start)
    return data[:start] + block + data[parent.inner_end :]


def _rendered(names: list[str], value: bytes, style: _Style) -> bytes:
    tag = style.prefix + names[0].encode()
    if len(names) == 1:
        return b"<" + tag + b">" + value + b"</" + tag + b">"
    inside = style.deeper.new_line + _rendered(names[1:], value, style.deeper) + style.new_line
    return b"<" + tag + b">" + inside + b"</" + tag + b">"


def _style_at(data: bytes, node: Node) -> _Style:
    name = _name_at(data, node)
    prefix = name[: name.index(b":") + 1] if b":" in name else b""
    found = _BEFORE.search(data[max(0, node.start - _NEAR) : node.start])
    return _Style(found[1], found[2], prefix) if found else _Style(b"", b"", prefix)


def _name_at(data: bytes, node: Node) -> bytes:
    found = _TAG_NAME.match(data, node.start)
    return found[1] if found else node.name.encode()


def _escaped(text: str) -> bytes:
    return escape(text, quote=False).encode("utf-8")
