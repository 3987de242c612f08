"""Text that no terminal obeys, whatever names are in it: control characters and the like are shown as escapes."""

from collections.abc import Callable

_LINES = str.maketrans("", "", "\n\t")


def printable(text: str) -> str:
    """With its lines; also what is not UTF-8 becomes an escape."""
    return _escaped(text, lambda character: character.encode("unicode_escape").decode("ascii"))


def printable_json(text: str) -> str:
    """The same for JSON, which it stays."""
    return _escaped(text, _json_escape)


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    if text.translate(_LINES).isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else escape(one) for one in text)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
