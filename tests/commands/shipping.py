"""What the tests of shipped logs share: asking for it, shipping once, losing the application, bringing the newest back."""

import shutil
from pathlib import Path

from tests.commands.terminal import Terminal
from tests.engine.stories import App
from tests.engine.stream_stories import streamer

ASKED = "<LogShipping><LagSeconds>5</LagSeconds></LogShipping>"


def serve(terminal: Terminal, app: App) -> None:
    database = f"<Databases><Database><Package>{app.package}</Package></Database></Databases>"
    terminal.service_file.write_text(
        f"<Backup4DService><TimeZone>UTC</TimeZone>{database}{ASKED}</Backup4DService>"
    )


def ship(app: App) -> None:
    one = streamer(app)
    one.look()
    one.let_go()


def lose(app: App) -> None:
    """The disk of the application is gone."""
    shutil.rmtree(app.package)


def check_latest(
    terminal: Terminal, back: Path, target: Path, content: bytes, *more: str, code: int = 0
) -> str:
    """This log is there, and 4D will find it; with code 3, something that was shipped is not."""
    printed = terminal.types("restore", target, "--latest", "--to", back, *more)
    assert printed.code == code, printed.all
    assert (back / "Data" / "data.journal").read_bytes() == content
    return printed.all
