"""The names of tables, from the structure (`catalog.4DCatalog`), by the UUIDs that a log knows them by. Read only.

A log has the table's number in the data file, which can be another one than that in the structure; only the
UUID tells. Entities are refused, nothing is fetched, and one part of the file is in memory at a time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from engine.errors import Code, EngineError
from engine.files import open_regular
from engine.logfile import ByteReader, DescriptorReader

CATALOG = "Project/Sources/catalog.4DCatalog"
_MOST_BYTES = 64 << 20
_MOST_TABLES = 40_000  # 4D allows 32 767
_PIECE = 1 << 16
_UUID_BYTES = 16


class CatalogError(EngineError):
    """A structure whose tables cannot be read."""

    code = Code.DONE


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of a structure; `unlogged` are those whose changes 4D writes into no log."""

    names: dict[bytes, str] = field(default_factory=dict)
    unlogged: frozenset[bytes] = frozenset()

    def name(self, table: bytes) -> str:
        """Its name, or its UUID when the structure does not know it."""
        return self.names.get(table) or table.hex().upper()

    def find(self, words: str) -> frozenset[bytes]:
        """The tables of this name, whatever its case, or the one of this UUID; empty when there is none."""
        wanted = words.casefold()
        named = {table for table, name in self.names.items() if name.casefold() == wanted}
        try:
            table = bytes.fromhex(words.replace("-", ""))
        except ValueError:
            return frozenset(named)
        return frozenset(named | {table}) if len(table) == _UUID_BYTES else frozenset(named)


def catalog_above(file: Path) -> Path | None:
    """The structure of the application in whose folder a file lies; None when there is none."""
    for folder in file.absolute().parents[:4]:
        if (folder / CATALOG).is_file():
            return folder / CATALOG
    return None


def load_tables(catalog: Path) -> Tables:
    """The tables of a structure on the disk. Raises CatalogError, OSError."""
    with open_regular(catalog) as stream:
        return read_tables(DescriptorReader(stream.fileno()), str(catalog))


def read_tables(reader: ByteReader, name: str) -> Tables:
    """The same of bytes that lie anywhere. Raises CatalogError."""
    if reader.size > _MOST_BYTES:
        raise CatalogError(f"{name} is larger than any structure: {reader.size} bytes")
    catalog = _Catalog()
    try:
        catalog.feed(
            reader.read(at, min(_PIECE, reader.size - at)) for at in range(0, reader.size, _PIECE)
        )
    except (expat.ExpatError, ValueError) as error:
        raise CatalogError(f"{name} is no structure that can be read: {error}") from error
    return Tables(catalog.names, frozenset(catalog.unlogged))


class _Catalog:
    """Collects the tables while the file is read."""

    def __init__(self) -> None:
        self.names: dict[bytes, str] = {}
        self.unlogged: set[bytes] = set()
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EntityDeclHandler = _refuse_entities

    def feed(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self._parser.Parse(piece, False)
        self._parser.Parse(b"", True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name != "table" or len(self.names) >= _MOST_TABLES:
            return
        table = bytes.fromhex(attributes.get("uuid", ""))
        if len(table) != _UUID_BYTES:
            return
        self.names[table] = attributes.get("name", "")
        if attributes.get("prevent_journaling", "").lower() == "true":
            self.unlogged.add(table)


def _refuse_entities(*_: object) -> None:
    raise ValueError("it declares entities")
