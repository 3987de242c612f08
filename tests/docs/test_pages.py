"""The pages name what is there: commands, options, error numbers, modules, tests, other pages."""

import re

import click
import pytest

from engine.errors import Code, Exit
from scheduler.cli import cli
from tests.docs.pages import DOCS, HOUSE, page
from tests.house.source import SHIPPED

PAGES = sorted(file.name for file in DOCS.glob("*.md"))
_LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def commands(group: click.Group, prefix: str = "") -> dict[str, click.Command]:
    """Every command by its full name."""
    found: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found[prefix + name] = command
        if isinstance(command, click.Group):
            found |= commands(command, f"{prefix}{name} ")
    return found


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    links = [link for link in _LINK.findall(page(name)) if "://" not in link]

    assert [link for link in links if not (DOCS / link).exists()] == []


def test_every_command_and_option_is_told() -> None:
    text = page("commands.md")

    for name, command in commands(cli).items():
        assert f"backup4d {name}" in text
        options = [o for p in command.params if isinstance(p, click.Option) for o in p.opts]
        assert [option for option in options if f"`{option}" not in text] == []


def test_every_number_is_told() -> None:
    text = page("journal-and-history.md")

    assert [code for code in Code if f"| {code.value} |" not in text] == []
    assert [code for code in Exit if f"| {code.value} |" not in text] == []


def test_the_source_map_is_complete() -> None:
    packages = ("settings", "engine", "scheduler")
    modules = {
        str(file.relative_to(HOUSE))
        for package in packages
        for file in (HOUSE / package).rglob("*.py")
        if not file.name.startswith("__") and not file.is_relative_to(SHIPPED)
    }

    told = set(re.findall(r"`((?:settings|engine|scheduler)/[\w/]+\.py)` \|", page("design.md")))

    assert told == modules


def test_every_test_that_is_named_exists() -> None:
    named = {test for name in PAGES for test in re.findall(r"`(tests/[\w/]+\.py)`", page(name))}

    assert named
    assert [test for test in named if not (HOUSE / test).is_file()] == []
