"""What several commands are given on the command line, said once."""

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from scheduler.moments import parse_moment
from scheduler.screen import warn


class PathAsTyped(click.ParamType[Path]):
    """A path that is not looked at: click's own asks its disk, and that may never answer."""

    name = "path"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        """Only what no path can be is refused."""
        if "\0" in str(value):
            self.fail("a path holds no zero bytes", param, ctx)
        return Path(str(value))


DATABASE = click.argument("database", type=PathAsTyped())
DATA_FILE = click.option(
    "--data-file", type=PathAsTyped(), help="The data file, when there are several."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
SET = click.option("--set", "number", type=int, help="The set's number; the newest by default.")


def read_moment(text: str, zone: ZoneInfo) -> datetime:
    """The instant that was typed; how one that exists twice or never was taken is told. Raises UsageError."""
    try:
        moment = parse_moment(text, zone)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if moment.note is not None:
        warn(moment.note)
    return moment.at
