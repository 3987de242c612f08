"""The names of tables come from the structure, by UUID; a structure that cannot be read is said to be so."""

from pathlib import Path

import pytest

from engine.logtables import CATALOG, CatalogError, Tables, catalog_above, load_tables, read_tables
from tests.engine.logs import Bytes, members_of_archive
from tests.engine.real_shapes import OTHER_TABLE, TABLE
from tests.engine.stories import CORPUS

ARCHIVES = sorted((CORPUS / "archives").glob("archive-004*.4BK"))
XML = f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE base SYSTEM "http://www.4d.com/dtd/2007/base.dtd" >
<base name="" uuid="{"0" * 32}">
<table name="Invoices" uuid="{TABLE.hex().upper()}" id="2"><field name="table" uuid="x"/></table>
<table name="Visits" uuid="{OTHER_TABLE.hex()}" id="3" prevent_journaling="true"/>
<relation><related_field><field_ref><table_ref uuid="{"A" * 32}" name="x"/></field_ref></related_field></relation>
</base>""".encode()


@pytest.mark.skipif(not ARCHIVES, reason="the corpus of real archives is not there")
def test_the_tables_of_a_real_structure() -> None:
    members = members_of_archive(ARCHIVES[0].read_bytes())
    catalog = next(content for name, content in members.items() if name.endswith("4DCatalog"))

    tables = read_tables(Bytes(catalog), "x")

    assert sorted(tables.names.values()) == ["Category", "Task"]
    assert tables.unlogged == frozenset()


def test_names_and_tables_that_are_not_logged() -> None:
    tables = read_tables(Bytes(XML), "catalog")

    assert tables.names == {TABLE: "Invoices", OTHER_TABLE: "Visits"}
    assert tables.unlogged == {OTHER_TABLE}
    assert tables.name(TABLE) == "Invoices"
    assert tables.name(b"\xaa" * 16) == "AA" * 16


def test_a_table_is_found_by_its_name_or_its_id() -> None:
    tables = read_tables(Bytes(b"\xef\xbb\xbf" + XML), "catalog")

    assert tables.find("invoices") == {TABLE}
    assert tables.find(TABLE.hex()) == {TABLE}
    assert tables.find("AA" * 16) == {b"\xaa" * 16}
    assert tables.find("nothing") == frozenset()
    assert Tables().find("Invoices") == frozenset()


@pytest.mark.parametrize(
    "xml",
    [
        b"",
        b"<base>",
        b"no xml",
        b'<base><table name="x" uuid="not hex"/></base>',
        b'<!DOCTYPE base [<!ENTITY a "aaaa">]><base><table name="&a;"/></base>',
        XML[:-3],
    ],
)
def test_what_is_no_structure_is_refused(xml: bytes) -> None:
    with pytest.raises(CatalogError, match="catalog is no structure that can be read"):
        read_tables(Bytes(xml), "catalog")


def test_a_structure_too_large_to_be_one_is_refused() -> None:
    reader = Bytes(b"")
    reader.size = 1 << 30

    with pytest.raises(CatalogError, match="larger than any structure"):
        read_tables(reader, "catalog")


def test_the_structure_of_the_application_around_a_file_is_found(tmp_path: Path) -> None:
    catalog = tmp_path / "app" / CATALOG
    catalog.parent.mkdir(parents=True)
    catalog.write_bytes(XML)

    assert catalog_above(tmp_path / "app" / "Data" / "data.journal") == catalog
    assert catalog_above(tmp_path / "data.journal") is None
    assert load_tables(catalog).name(TABLE) == "Invoices"
