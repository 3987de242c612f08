"""The commands `4bk`: archives that 4D itself has made, looked into, checked and taken apart. They are only read."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from engine.errors import EngineError, Exit
from engine.fourd.archive import archive_opened, read_list, verify_archive, verify_stored
from engine.fourd.codec import is_compiled
from engine.fourd.extract import Wish, extract_archive
from engine.fourd.listing import BadListError
from engine.fourd.onefile import copy_one
from engine.fourd.reading import ListLostError, Way
from engine.fourd.rescue import rescue_archive
from engine.host import worker_count
from engine.logfile import ByteReader
from engine.progress import Report, silent
from engine.stop import StopRequest
from scheduler.commands_sets import stop_on_signals
from scheduler.context import context_of
from scheduler.options import JSON, PathAsTyped
from scheduler.screen import output_named, progress_shown, say_json, warn
from scheduler.words_4bk import (
    error_row,
    extraction_row,
    listing_row,
    outcome_row,
    say_extraction,
    say_listing,
    say_outcome,
    say_rescued,
)

_WITHOUT_NAMES = (
    "without the list nobody knows which file is which: leave out --only, and name a folder with --to;"
    " all that is there comes out, without names"
)
_FILES = click.argument("files", metavar="FILE...", nargs=-1, required=True, type=PathAsTyped())
_ONLY = click.option(
    "--only",
    "patterns",
    multiple=True,
    metavar="PATH",
    help="Only this path, as `list` prints it; a folder with all below; * and ? work. May be repeated.",
)


@click.group("4bk", context_settings={"help_option_names": ["-h", "--help"]})
def archives() -> None:
    """Archives made by 4D itself (.4BK, .4BL): list, verify, extract. They are only read."""


@archives.command("list")
@_FILES
@JSON
def list_files(files: tuple[Path, ...], *, as_json: bool) -> int:
    """List the files in each FILE, with their sizes and what 4D says of them.

    Only the list is read and checked; `verify` reads all.
    """
    way = way_of(stop_on_signals(), silent, "listing")

    def look(path: Path) -> tuple[dict[str, Any], Exit]:
        with archive_opened(path) as reader:
            listing, size = read_list(reader, way), reader.size
        if not as_json:
            say_listing(path, size, listing)
        return listing_row(path, size, listing), Exit.DONE

    return _for_each(files, look, as_json=as_json)


@archives.command("verify")
@_FILES
@click.option(
    "--quick", is_flag=True, help="Compare the stored bytes only; nothing but the list is unpacked."
)
@JSON
@click.pass_context
def verify(ctx: click.Context, files: tuple[Path, ...], *, quick: bool, as_json: bool) -> int:
    """Read each FILE to its last byte and compare every checksum and the whole structure inside.

    What is damaged is named: the block, its bytes in the archive, and which bytes of which file it costs.
    """
    context, stop = context_of(ctx, tolerant=True), stop_on_signals()

    def look(path: Path) -> tuple[dict[str, Any], Exit]:
        with (
            progress_shown(context.clock, quiet=as_json) as report,
            archive_opened(path) as reader,
        ):
            way = way_of(stop, report, "checking")
            outcome = verify_stored(reader, way) if quick else verify_archive(reader, way)
        if not as_json:
            say_outcome(path, outcome)
        code = Exit.DONE if outcome.is_whole else Exit.DAMAGED
        return outcome_row(path, outcome), code

    return _for_each(files, look, as_json=as_json)


@archives.command("extract")
@click.argument("file", metavar="FILE", type=PathAsTyped())
@click.option("--to", type=PathAsTyped(), help="The folder to make.")
@_ONLY
@click.option(
    "--as-stored",
    is_flag=True,
    help="Under the archive's own paths; without it the data go to Data/, as 4D's restore does it.",
)
@click.option(
    "--stdout",
    "to_stdout",
    is_flag=True,
    help="The one file that --only names, to standard output.",
)
@JSON
@click.pass_context
def extract(  # noqa: PLR0913 - options of a command
    ctx: click.Context,
    file: Path,
    *,
    to: Path | None,
    patterns: tuple[str, ...],
    as_stored: bool,
    to_stdout: bool,
    as_json: bool,
) -> int:
    """Extract the files of FILE into a new folder, or one of them to standard output.

    Of a damaged archive everything is extracted that is there; what is not whole is called *.incomplete or
    *.unproved, and a report beside it says what is lost.
    """
    context, stop = context_of(ctx, tolerant=True), stop_on_signals()
    _refuse_contradictions(to, patterns, to_stdout=to_stdout, as_json=as_json)
    with (
        progress_shown(context.clock, quiet=as_json or to_stdout) as report,
        archive_opened(file) as reader,
    ):
        way = way_of(stop, report, "extracting")
        if to is None:
            _copy_to_stdout(reader, patterns[0], way)
            return Exit.DONE
        try:
            extraction = extract_archive(reader, to.absolute(), Wish(patterns, as_stored), way)
        except (ListLostError, BadListError) as error:
            if patterns:
                error.hint = _WITHOUT_NAMES
                raise
            return say_rescued(
                rescue_archive(reader, to.absolute(), str(error), way), file, as_json=as_json
            )
    if as_json:
        say_json(extraction_row(file, extraction))
    else:
        say_extraction(file, extraction)
    return Exit.DONE if extraction.is_whole else Exit.DAMAGED


class _StandardOutput:
    """Says that it is what fails."""

    def write(self, piece: memoryview, /) -> None:
        with output_named():
            sys.stdout.buffer.write(piece)

    def flush(self) -> None:
        with output_named():
            sys.stdout.buffer.flush()


def _copy_to_stdout(reader: ByteReader, pattern: str, way: Way) -> None:
    out = _StandardOutput()
    try:
        copy_one(reader, pattern, out, way)
    except (ListLostError, BadListError) as error:
        error.hint = _WITHOUT_NAMES
        raise
    out.flush()


def _refuse_contradictions(
    to: Path | None, patterns: tuple[str, ...], *, to_stdout: bool, as_json: bool
) -> None:
    if to_stdout == (to is not None):
        raise click.UsageError("say where it goes: --to FOLDER, or --stdout for one file")
    if to_stdout and (len(patterns) != 1 or as_json):
        raise click.UsageError("--stdout takes one --only, and no --json")


def way_of(stop: StopRequest, report: Report, phase: str) -> Way:
    """All cores, where the fast decoder is there; Python's own lock makes more than one useless without it."""
    is_fast = is_compiled()
    workers = worker_count() if is_fast else 1
    if not is_fast and phase != "listing":
        warn(
            f"in plain Python, which is slow; many times faster: {Path(sys.prefix, 'bin', 'pip')} install wasmtime"
        )
    return Way(workers, stop, report, phase)


def _for_each(
    files: tuple[Path, ...],
    look: Callable[[Path], tuple[dict[str, Any], Exit]],
    *,
    as_json: bool,
) -> int:
    """Every file, whatever the one before it was; the code is that of the worst."""
    rows: list[dict[str, Any]] = []
    codes = [Exit.DONE]
    for path in files:
        try:
            row, code = look(path)
        except (EngineError, OSError) as failure:
            error = _told(path, failure)
            if error.exit_code is Exit.STOPPED or (len(files) == 1 and not as_json):
                raise error from failure
            row, code = error_row(path, error), error.exit_code
            warn(str(error))
        rows.append(row)
        codes.append(code)
    if as_json:
        say_json(rows)
    # 5, damaged, is worse than 1
    return max(codes)


def _told(path: Path, failure: EngineError | OSError) -> EngineError:
    if isinstance(failure, EngineError):
        return failure
    return EngineError(f"{failure.filename or path}: {failure.strerror or failure}", code=0)
