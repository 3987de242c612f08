"""A settings tree being read: values come out by key, and findings pile up on the way."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from settings.keys import KEYS, PLACES, Key, Kind
from settings.model import Finding, Severity
from settings.tree import Node, find_nodes, walk

T = TypeVar("T")

_MOST_UNKNOWN = 50
_NAMES = {place.rpartition("/")[2].lower(): place for place in sorted(PLACES, reverse=True)}
_PLACES_BY_CASE = {place.lower(): place for place in PLACES}
_GUARDED_PATHS = frozenset(key.path.lower() for key in KEYS.values() if key.guarded)
_GUARDED_NAMES = frozenset({"setnumber", "eraseoldbackupbefore", "destinationfolder"})


@dataclass(frozen=True, slots=True)
class Problem:
    """A key that is there and cannot be used as it is written."""

    key: Key
    line: int
    read: str
    why: str


class Sheet:
    """The element `Backup` of one file while it is read."""

    def __init__(self, backup: Node) -> None:
        self.backup = backup
        self.findings: list[Finding] = []
        self.refusals: list[Finding] = []

    def nodes(self, key: Key) -> list[Node]:
        """Return the elements that carry this key, in its usual place first."""
        places = (key.path, *key.aliases)
        return [node for place in places for node in find_nodes(self.backup, place)]

    def has(self, path: str) -> bool:
        """Tell whether an element is there."""
        return bool(find_nodes(self.backup, path))

    def read(self, path: str, parse: Callable[[Key, str], T]) -> T | Problem:
        """Return the value, its default when the key is absent, or what is wrong with it."""
        key = KEYS[path]
        nodes = self.nodes(key)
        if not nodes:
            return parse(key, key.default)
        values = [_parsed(key, node, parse) for node in nodes]
        if len(nodes) > 1:
            self._note_duplicate(key, nodes, same=all(value == values[0] for value in values))
        elif not find_nodes(self.backup, path):
            self.note(key, nodes[0], f"another place or spelling of {path.rpartition('/')[2]}")
        return values[0]

    def take(self, path: str, parse: Callable[[Key, str], T], *, inert: bool = False) -> T:
        """Return the value; one that cannot be used is replaced by the default and said, or refused."""
        value = self.read(path, parse)
        if not isinstance(value, Problem):
            return value
        key = KEYS[path]
        if key.guarded and not inert:
            self.refuse(value)
        else:
            self.repair(value, key.default, inert=inert)
        return parse(key, key.default)

    def repair(self, problem: Problem, used: str, *, inert: bool = False) -> None:
        """Say that `used` is taken instead of what was read."""
        severity = Severity.NOTE if inert else Severity.WARNING
        self.findings.append(_finding(severity, problem, used))

    def refuse(self, problem: Problem) -> None:
        """Make the whole file refused."""
        self.refusals.append(_finding(Severity.ERROR, problem, ""))

    def fail(self, problem: Problem) -> None:
        """Say an error that stops one thing, not the whole file."""
        self.findings.append(_finding(Severity.ERROR, problem, ""))

    def note(self, key: Key, node: Node, why: str) -> None:
        """Say something worth knowing about a value that is used as it is."""
        self.findings.append(
            Finding(Severity.NOTE, key.path, node.line, node.text.strip(), node.text.strip(), why)
        )

    def note_unknown(self) -> None:
        """Name the elements that mean nothing to us; they stay in the file."""
        count = 0
        for path, node in walk(self.backup):
            if path in PLACES or _inside_items(path) or _below_unknown(path):
                continue
            count += 1
            if count <= _MOST_UNKNOWN or _is_guarded(path, node):
                self._note_stranger(path, node)
        if count > _MOST_UNKNOWN:
            why = f"{count} unknown elements in all; the first {_MOST_UNKNOWN} are named"
            self.findings.append(Finding(Severity.NOTE, "", self.backup.line, "", "", why))

    def _note_stranger(self, path: str, node: Node) -> None:
        known = _PLACES_BY_CASE.get(path.lower()) or _NAMES.get(node.name.lower())
        read = node.text.strip()
        # a rotation or destination in the wrong place or case would be replaced by a default in silence
        if known is not None and _is_guarded(path, node):
            why = f"not used here. Write it as {known}, or remove it"
            self.refusals.append(Finding(Severity.ERROR, path, node.line, read, "", why))
        elif known is not None:
            why = f"not used here; 4D writes it as {known}"
            self.findings.append(Finding(Severity.WARNING, path, node.line, read, "", why))
        else:
            self.findings.append(
                Finding(Severity.NOTE, path, node.line, read, "", "unknown key, kept")
            )

    def _note_duplicate(self, key: Key, nodes: list[Node], *, same: bool) -> None:
        second = nodes[1]
        why = f"the key is there {len(nodes)} times, first on line {nodes[0].line}"
        if key.guarded and not same:
            self.refuse(Problem(key, second.line, second.text, f"{why}. Keep one"))
            return
        severity = Severity.NOTE if same else Severity.WARNING
        used = nodes[0].text.strip()
        self.findings.append(
            Finding(severity, key.path, second.line, second.text.strip(), used, why)
        )


def _parsed(key: Key, node: Node, parse: Callable[[Key, str], T]) -> T | Problem:
    if node.children and key.path != "Settings/Scheduler/Frequency":
        why = f"there are elements inside; allowed: {key.allowed}"
        return Problem(key, node.line, node.text.strip(), why)
    try:
        return parse(key, node.text)
    except ValueError as error:
        return Problem(key, node.line, node.text, f"{error}; allowed: {key.allowed}")


def _finding(severity: Severity, problem: Problem, used: str) -> Finding:
    return Finding(severity, problem.key.path, problem.line, problem.read, used, problem.why)


def _is_guarded(path: str, node: Node) -> bool:
    names = {node.name.lower(), *(below.name.lower() for _, below in walk(node))}
    return path.lower() in _GUARDED_PATHS or not names.isdisjoint(_GUARDED_NAMES)


def _inside_items(path: str) -> bool:
    parent, _, name = path.rpartition("/")
    key = KEYS.get(parent)
    is_item = name == "ItemsCount" or (name.startswith("Item") and name[4:].isdecimal())
    return is_item and key is not None and key.kind is Kind.ITEMS


def _below_unknown(path: str) -> bool:
    parent = path.rpartition("/")[0]
    return bool(parent) and parent not in PLACES
