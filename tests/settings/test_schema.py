"""The schema accepts every form of the file and names odd values with their line."""

import subprocess
import sys

import pytest
from lxml import etree

from settings.model import Severity
from settings.schema import diagnose, schema_text
from tests.settings.forms import BOM, CORPUS, line_of, small, xml


def test_the_schema_is_well_formed_relaxng() -> None:
    etree.RelaxNG(etree.fromstring(schema_text().encode()))


@pytest.mark.parametrize(
    "data",
    [
        xml(),
        BOM + xml(line_end="\r"),
        xml({"Scheduler/Frequency": ""}),
        xml({"Scheduler/Daily/Hour": "02:00:00+02:00"}),
        small("<General/><Vendor a='1'><x>y</x></Vendor><Advanced/>"),
        small("<Scheduler><Frequency>Daily<Daily><Every>1</Every></Daily></Frequency></Scheduler>"),
        b"<Preferences4D><Backup/></Preferences4D>",
    ],
)
def test_every_valid_form_is_accepted(data: bytes) -> None:
    assert diagnose(data) == []


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus beside the project")
def test_every_public_file_is_accepted() -> None:
    assert [f.name for f in CORPUS.glob("*.xml") if diagnose(f.read_bytes())] == []


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_an_odd_value_is_named_with_its_line(end: str) -> None:
    data = xml({"Scheduler/Monthly/Day": "32"}, end)

    [finding] = diagnose(data)

    assert finding.severity is Severity.NOTE
    assert finding.element == "Settings/Scheduler/Monthly/Day"
    assert (finding.line, finding.read) == (line_of(data, b"<Day>"), "32")


@pytest.mark.parametrize("data", [b"", b"<!DOCTYPE a><a/>", b"<a>", b"\xff\xfe<\0"])
def test_what_the_reader_refuses_never_reaches_lxml(data: bytes) -> None:
    assert [finding.severity for finding in diagnose(data)] == [Severity.NOTE]


def test_reading_settings_does_not_load_lxml() -> None:
    code = "import sys, settings.reader, settings.locate, settings.writeback, settings.service_file, settings.explain; sys.exit('lxml' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
