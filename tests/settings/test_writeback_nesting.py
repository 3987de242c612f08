"""A value is put where 4D writes it; the manual's nesting inside Frequency is kept only where a file has it."""

from pathlib import Path

from settings.reader import parse_settings
from settings.writeback import plan_change

FILE = Path("/srv/app/Settings/backup.4DSettings")
FLAT = (
    b"<Preferences4D><Backup><Settings><Scheduler><Frequency>Daily</Frequency></Scheduler>"
    b"</Settings></Backup></Preferences4D>"
)
NESTED = FLAT.replace(b"Daily<", b"Daily<Daily><Every>1</Every></Daily><")


def test_a_new_block_stands_beside_frequency() -> None:
    changed = plan_change(FLAT, "Weekly/Monday/Save", "true", FILE)

    assert b"<Frequency>Daily</Frequency><Weekly><Monday><Save>True</Save>" in changed
    assert parse_settings(changed, FILE).findings == ()


def test_a_new_block_stands_inside_frequency_where_others_do() -> None:
    changed = plan_change(NESTED, "Daily/Hour", "02:30", FILE)

    assert b"<Daily><Every>1</Every><Hour>" in changed
    assert b"</Daily></Frequency>" in changed
