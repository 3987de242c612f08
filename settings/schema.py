"""A RelaxNG schema of the settings file, made from the table of keys; an aid to find typing mistakes.

4D publishes no schema. The reader never asks this one: what it says is a NOTE. The only module that loads
lxml, which costs memory the idle service does not need.
"""

import re
from functools import cache
from html import escape
from pathlib import Path

from lxml import etree

from settings.errors import SettingsRefusedError
from settings.keys import KEYS, NAMESPACE, ORDER, Key, Kind
from settings.model import Finding, Severity
from settings.tree import parse_tree

_RELAXNG = "http://relaxng.org/ns/structure/1.0"
_TYPES = "http://www.w3.org/2001/XMLSchema-datatypes"
_TIME = (
    r"\s*([0-9]{4}-[0-9]{2}-[0-9]{2}T)?[0-9]{2}:[0-5][0-9]:[0-5][0-9]"
    r"(\.[0-9]{1,6})?(Z|[+\-][0-9]{2}:?[0-9]{2})?\s*"
)
_ANYTHING = (
    '<define name="anything"><zeroOrMore><choice><text/><attribute><anyName/></attribute>'
    '<element><anyName/><ref name="anything"/></element></choice></zeroOrMore></define>'
)
_ATTRIBUTES = "<zeroOrMore><attribute><anyName/></attribute></zeroOrMore>"


def schema_text() -> str:
    """Return the schema: any order and unknown elements are allowed, 4D's namespace is needed."""
    backup = _element("Backup", _block(""))
    root = _element("Preferences4D", f"{_ATTRIBUTES}<interleave><text/>{backup}</interleave>")
    return _grammar(root)


def _grammar(start: str) -> str:
    return (
        f'<grammar xmlns="{_RELAXNG}" ns="{NAMESPACE}" datatypeLibrary="{_TYPES}">\n'
        f"<start>{start}</start>\n{_ANYTHING}\n</grammar>\n"
    )


def diagnose(data: bytes) -> list[Finding]:
    """Return what the schema finds odd about a settings file, or why it is no XML we read."""
    try:
        parse_tree(data, Path("settings"))  # refuses what must never reach another parser
    except SettingsRefusedError as error:
        return [_as_note(finding) for finding in error.findings]
    # libxml2 does not count a lone CR as a line end
    plain = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        root = _with_namespace(etree.fromstring(plain, parser))
    except etree.XMLSyntaxError as error:
        return [Finding(Severity.NOTE, "", error.lineno, "", "", str(error.msg))]
    if _compiled(schema_text()).validate(root):
        return []
    # inside an interleave libxml2 blames the outermost block, so each key is asked by itself
    return _odd_keys(root) or [
        Finding(Severity.NOTE, "", entry.line or None, "", "", entry.message)
        for entry in _compiled(schema_text()).error_log
    ]


def _odd_keys(root: etree._Element) -> list[Finding]:
    findings = []
    for element in root.iter(etree.Element):
        path = re.sub(r"\{[^}]*\}", "", root.getroottree().getelementpath(element))
        path = re.sub(r"\[[0-9]+\]", "", path).removeprefix("Backup/")
        key = KEYS.get(path)
        if key is not None and not _compiled(_key_schema(key)).validate(element):
            why = f"the schema allows {key.allowed}"
            read = "".join(element.xpath("text()"))
            findings.append(Finding(Severity.NOTE, path, element.sourceline, read, "", why))
    return findings


def _with_namespace(root: etree._Element) -> etree._Element:
    """Put every element into 4D's namespace: the reader goes by local names, and so does this aid."""
    for element in root.iter(etree.Element):
        element.tag = f"{{{NAMESPACE}}}{etree.QName(element).localname}"
    return root


@cache
def _compiled(text: str) -> etree.RelaxNG:
    return etree.RelaxNG(etree.fromstring(text.encode()))


def _key_schema(key: Key) -> str:
    return _grammar(_content(key.path))


def _as_note(finding: Finding) -> Finding:
    return Finding(Severity.NOTE, finding.element, finding.line, finding.read, "", finding.why)


# --- the grammar ----------------------------------------------------------------------------------


def _block(path: str) -> str:
    below = [p for p in ORDER if p.rpartition("/")[0] == path]
    names = [p.rpartition("/")[2] for p in below]
    known = "".join(f"<optional>{_content(p)}</optional>" for p in below)
    other = f'<element><anyName><except>{_names(names)}</except></anyName><ref name="anything"/></element>'
    return f"{_ATTRIBUTES}<interleave><text/>{known}<zeroOrMore>{other}</zeroOrMore></interleave>"


def _content(path: str) -> str:
    name = path.rpartition("/")[2]
    key = KEYS.get(path)
    return _element(name, _block(path) if key is None else _value(key))


def _element(name: str, content: str) -> str:
    return f'<element name="{name}">{content}</element>'


def _names(names: list[str]) -> str:
    return "".join(f"<name>{name}</name>" for name in names)


def _value(key: Key) -> str:
    if key.kind in {Kind.TEXT, Kind.ITEMS}:
        return '<ref name="anything"/>'
    return _ATTRIBUTES + _typed(key)


def _typed(key: Key) -> str:
    match key.kind:
        case Kind.FLAG:
            return _pattern(rf"\s*({_any_case('True')}|{_any_case('False')}|0|1)\s*")
        case Kind.COUNT:
            return (
                f'<data type="integer"><param name="minInclusive">{key.low}</param>'
                f'<param name="maxInclusive">{key.high}</param></data>'
            )
        case Kind.CLOCK | Kind.DURATION:
            return _pattern(_TIME)
        case Kind.WORD:
            return _words(key)
        case Kind.PATH:
            return _pattern(r"\s*\S(.|\s)*")
        case _:
            return "<text/>"


def _words(key: Key) -> str:
    pattern = _pattern(rf"\s*({'|'.join(_any_case(word) for word in key.words)})\s*")
    if not key.path.endswith("Frequency"):
        return pattern
    # the manual's nesting: the blocks inside Frequency
    nested = '<element><anyName/><ref name="anything"/></element>'
    return (
        f"<choice>{pattern}<interleave><text/><oneOrMore>{nested}</oneOrMore></interleave></choice>"
    )


def _any_case(word: str) -> str:
    return "".join(f"[{c.upper()}{c.lower()}]" for c in word)


def _pattern(pattern: str) -> str:
    return (
        f'<data type="string"><param name="pattern">{escape(pattern, quote=False)}</param></data>'
    )
