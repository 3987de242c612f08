"""Hand-made settings files for the tests: look-alikes of what 4D writes, in every physical form."""

from pathlib import Path

from settings.keys import KEYS, NAMESPACE, Kind
from settings.model import Settings
from settings.reader import Reading, parse_settings

FILE = Path("/srv/app/Settings/backup.4DSettings")
BOM = b"\xef\xbb\xbf"
DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="no" ?>'
CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "settings"


def xml(changes: dict[str, str | None] | None = None, line_end: str = "\n") -> bytes:
    """A full file as 4D writes it; `changes` give keys (below Settings) other texts, None removes one."""
    texts = {path: key.default for path, key in KEYS.items() if path.startswith("Settings/")}
    texts = {path: text for path, text in texts.items() if "/Transaction/" not in path}
    texts |= {
        f"Settings/{path}": text for path, text in (changes or {}).items() if text is not None
    }
    for path, text in (changes or {}).items():
        if text is None:
            del texts[f"Settings/{path}"]
    body = _lines(_nested(texts), 2)
    root = f'<Preferences4D xmlns="{NAMESPACE}">'
    lines = [DECLARATION, root, "", "  <Backup>", *body, "  </Backup>", "", "</Preferences4D>", ""]
    return line_end.join(lines).encode()


def small(settings: str) -> bytes:
    """A file with just these elements below Settings, on one line and without namespace."""
    return (
        f"<Preferences4D><Backup><Settings>{settings}</Settings></Backup></Preferences4D>".encode()
    )


def read(data: bytes) -> Reading:
    """Parse the bytes as a file of that name."""
    return parse_settings(data, FILE)


def settings_of(changes: dict[str, str | None]) -> Settings:
    """Parse a full file with these changes."""
    return read(xml(changes)).settings


def line_of(data: bytes, text: bytes) -> int:
    """The line of the first occurrence, counted the slow and sure way."""
    before = data[: data.index(text)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return before.count(b"\n") + 1


def _nested(texts: dict[str, str]) -> dict[str, object]:
    tree: dict[str, object] = {}
    for path, text in texts.items():
        *blocks, name = path.split("/")
        place = tree
        for block in blocks:
            below = place.setdefault(block, {})
            assert isinstance(below, dict)
            place = below
        place[name] = {} if KEYS.get(path) and KEYS[path].kind is Kind.ITEMS else text
    return tree


def _lines(tree: dict[str, object], depth: int) -> list[str]:
    lines = []
    for name, value in tree.items():
        blank = "  " * depth
        if isinstance(value, dict) and name == "IncludesFiles":
            items = ["<ItemsCount>1</ItemsCount>", "<Item1>./Data/data.4DIndx</Item1>"]
            inner = [f"{blank}  {item}" for item in items]
            lines += [f"{blank}<{name}>", *inner, f"{blank}</{name}>"]
        elif isinstance(value, dict):
            lines += [f"{blank}<{name}>", *_lines(value, depth + 1), f"{blank}</{name}>"]
        else:
            lines.append(f"{blank}<{name}>{value}</{name}>")
    return lines
