"""Every command explains itself, and wrong use is told from a failure."""

import pytest

from engine.version import VERSION
from tests.commands.terminal import Terminal

COMMANDS = (
    *(
        "backup",
        "demo",
        "diff",
        "install-service",
        "list",
        "pause",
        "reload",
        "restore",
        "resume",
        "run",
    ),
    *("schedule", "settings", "show", "status", "stop", "uninstall-service", "verify"),
)
SETTINGS = ("check", "explain", "show", "set", "schema")
BOTH = [(name,) for name in COMMANDS] + [("settings", name) for name in SETTINGS]


@pytest.mark.parametrize("words", BOTH, ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_explains_itself(
    terminal: Terminal, words: tuple[str, ...], flag: str
) -> None:
    printed = terminal.types_bare(*words, flag)

    assert printed.code == 0
    assert printed.out.startswith(f"Usage: backup4d {' '.join(words)}")
    assert printed.err == ""


def test_the_program_lists_its_commands_and_exit_codes(terminal: Terminal) -> None:
    printed = terminal.types_bare("--help")

    assert printed.code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in printed.out
    assert "130 stopped" in " ".join(printed.out.split())


def test_the_program_tells_its_version(terminal: Terminal) -> None:
    assert VERSION in terminal.types_bare("--version").out


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("destroy",),
        ("backup",),
        ("backup", "a", "b"),
        ("list", "a", "--nonsense"),
        ("show", "a", "--set", "newest"),
        ("settings",),
        ("settings", "set", "a"),
        ("run",),
        ("status",),
    ],
    ids=" ".join,
)
def test_wrong_use_is_2_and_says_how_it_goes(terminal: Terminal, words: tuple[str, ...]) -> None:
    printed = terminal.types(*words)

    assert printed.code == 2
    assert "Usage:" in printed.all
    assert "Traceback" not in printed.all
