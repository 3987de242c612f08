"""The command `restore`: a set, a part of it, or what can be read of it; into a new folder or in place."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click

from engine.barearchive import bare_source
from engine.errors import DamagedError, MissingSetError
from engine.logplan import LogMode
from engine.manifest import CHECKSUMS, MANIFEST
from engine.member import Role
from engine.parity import has_parity
from engine.repairing import repair_recorded
from engine.restore import default_target, plan_restore
from engine.restorelogs import LogWish
from engine.restoring import (
    Told,
    in_place_obstacle,
    in_place_plan,
    opened,
    restore_in_place_recorded,
    restore_recorded,
    salvage_recorded,
)
from engine.sealed import open_sealed
from engine.selection import Selection
from engine.setsource import SetSource
from engine.setwriter import Surroundings
from engine.workplace import workplace
from scheduler.commands_sets import stop_on_signals
from scheduler.context import Context, context_of
from scheduler.options import DATA_FILE, JSON, SET, read_moment
from scheduler.restore_choice import Choice, choose, choose_latest
from scheduler.restore_words import say_in_place_plan, say_plan, say_restored, say_salvaged
from scheduler.screen import progress_shown, warn
from settings.errors import SettingsError
from settings.layout import DatabaseLayout
from settings.reader import load_settings

_PARTS = {
    "data": frozenset({Role.DATA, Role.LOG}),
    "structure": frozenset({Role.STRUCTURE}),
    "attachments": frozenset({Role.ATTACHMENT}),
}


@dataclass(frozen=True, slots=True)
class _Wish:
    """The options. `to` is None for the default place, `log` for the default choice."""

    to: Path | None
    in_place: bool
    set_aside: bool
    salvage: bool
    selection: Selection
    log: str | None
    identity: Path | None
    dry_run: bool
    as_json: bool


@click.command()
@click.argument("target", metavar="DATABASE|SET|ARCHIVE", type=click.Path(path_type=Path))
@SET
@click.option(
    "--as-of", metavar="TIME", help="The newest complete set finished by then, as 2026-11-21 18:00."
)
@click.option(
    "--latest",
    is_flag=True,
    help="The newest set and every operation after it that is at hand: from the live log, else as it was shipped.",
)
@DATA_FILE
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="The folder to make; by default beside the set, named like it with ' restored'.",
)
@click.option(
    "--in-place",
    is_flag=True,
    help="In the place of DATABASE's live files, which are moved aside. 4D must be stopped.",
)
@click.option(
    "--set-aside",
    is_flag=True,
    help="When the folder of --to is not empty: rename it first, and back when anything fails.",
)
@click.option(
    "--only",
    "patterns",
    multiple=True,
    metavar="PATH",
    help="Only this path of the set, as `show` prints it; a folder with all below; * and ? work. May be repeated.",
)
@click.option("--part", type=click.Choice(sorted(_PARTS)), help="Only this part of the set.")
@click.option(
    "--log",
    type=click.Choice([mode.value for mode in LogMode]),
    help="The log up to now, or the set's own; by default `current` for the newest set, else `set`.",
)
@click.option(
    "--salvage",
    is_flag=True,
    help="Of a damaged set: all that can be read, with a report of every file.",
)
@click.option(
    "--identity",
    type=click.Path(path_type=Path),
    help="The file with the secret key, for an archive encrypted with age (*.age).",
)
@click.option("--dry-run", is_flag=True, help="Say what would be written where, and write nothing.")
@JSON
@click.pass_context
def restore(  # noqa: PLR0913 - options of a command
    ctx: click.Context,
    target: Path,
    *,
    number: int | None,
    as_of: str | None,
    latest: bool,
    data_file: Path | None,
    to: Path | None,
    in_place: bool,
    set_aside: bool,
    patterns: tuple[str, ...],
    part: str | None,
    log: str | None,
    salvage: bool,
    identity: Path | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Restore a set into a new folder, or with --in-place where the live files are.

    Of DATABASE the newest set, the one with --set or --as-of; or the folder of a SET, or an ARCHIVE file
    with nothing beside it. What is restored appears only when every file in it was compared with the digests
    of the set; after any failure all is as it was before. With --only and --part, no more of the archive is
    read than what holds the chosen files.
    """
    context = context_of(ctx)
    if number is not None and as_of is not None:
        raise click.UsageError("--set and --as-of both choose a set; give one of them")
    selection = Selection(patterns, None if part is None else _PARTS[part])
    wish = _Wish(to, in_place, set_aside, salvage, selection, log, identity, dry_run, as_json)
    _refuse_contradictions(wish)
    until = None if as_of is None else read_moment(as_of, context.zone)
    if latest:
        _refuse_another_moment(number, as_of, log)
        choice = choose_latest(context, target, data_file=data_file, anyway=salvage)
    else:
        choice = choose(
            context, target, number=number, until=until, data_file=data_file, anyway=salvage
        )
    for note in choice.notes:
        warn(note)
    with progress_shown(context.clock, quiet=as_json) as report:
        around = Surroundings(context.clock, stop_on_signals(), report)
        told = Told(choice.layout, context.zone, around)
        return _Work(context, choice, wish, told).run()


def _refuse_another_moment(number: int | None, as_of: str | None, log: str | None) -> None:
    if number is not None or as_of is not None or log == LogMode.SET.value:
        raise click.UsageError(
            "--latest is the newest there is; leave out --set, --as-of and --log set"
        )


def _refuse_contradictions(wish: _Wish) -> None:
    if wish.in_place and (wish.to is not None or wish.set_aside):
        raise click.UsageError("--in-place says where; leave out --to and --set-aside")
    if wish.salvage and (wish.in_place or wish.dry_run or wish.set_aside):
        raise click.UsageError(
            "--salvage writes into a new folder, at once; give only --to with it"
        )
    if wish.salvage and not wish.selection.is_everything:
        raise click.UsageError("--salvage brings back everything; leave out --only and --part")


def _no_place(choice: Choice) -> str:
    """Why a set alone, or a folder of sets, cannot be restored in place, and what can be typed."""
    named = f"'{choice.folder.parent}' --latest" if choice.is_newest else f"'{choice.folder}'"
    return (
        "--in-place takes the place of an application's live files, and this is no application: name its folder,"
        " and choose the set with --set, --as-of or --latest; when it is gone, say where it is to be: "
        f"backup4d restore {named} --to FOLDER"
    )


class _Work:
    """One restore, from what was chosen to the last word."""

    def __init__(self, context: Context, choice: Choice, wish: _Wish, told: Told) -> None:
        self._context = context
        self._choice = choice
        self._wish = wish
        self._told = told

    def run(self) -> int:
        """Restore, or salvage; a damaged set with recovery data is repaired first."""
        if self._choice.is_sealed:
            return self._unsealed()
        act = self._salvage if self._wish.salvage else self._restore
        try:
            return act()
        except (DamagedError, MissingSetError):
            if not self._can_be_repaired():
                raise
        mended = repair_recorded(
            self._choice.folder, self._choice.layout, self._context.zone, self._told.around
        )
        if mended.error is not None:
            mended.error.hint = (
                "--salvage brings back what can be read, with a report of every file"
            )
            raise mended.error
        warn(f"the set was damaged; it was repaired from its recovery data: {self._choice.folder}")
        return act()

    def _can_be_repaired(self) -> bool:
        is_set = self._choice.only is None and not self._wish.dry_run
        return is_set and has_parity(self._choice.folder)

    # --- the three ways

    def _salvage(self) -> int:
        if self._can_be_repaired():
            repair_recorded(
                self._choice.folder, self._choice.layout, self._context.zone, self._told.around
            )
        place = self._place()
        salvaged = salvage_recorded(self._choice.folder, place, self._told, only=self._choice.only)
        return say_salvaged(salvaged, as_json=self._wish.as_json)

    def _restore(self) -> int:
        if self._wish.in_place:
            return self._in_place()
        place = self._place()
        aside = self._aside_of(place) if self._wish.set_aside else None
        selection, logs = self._wish.selection, self._log_wish()
        with self._source(place.parent) as source:
            if self._wish.dry_run:
                plan = plan_restore(opened(source), place, selection, aside=aside, wish=logs)
                return say_plan(plan, self._choice.folder, as_json=self._wish.as_json)
            restored = restore_recorded(
                source, place, self._told, selection=selection, aside=aside, wish=logs
            )
        of_database = self._choice.layout is not None
        return say_restored(
            restored,
            self._choice.folder,
            selection,
            is_of_database=of_database,
            as_json=self._wish.as_json,
        )

    def _in_place(self) -> int:
        layout = self._choice.layout
        if layout is None:
            raise click.UsageError(_no_place(self._choice))
        selection, logs = self._wish.selection, self._log_wish()
        protected = (self._choice.folder.parent,)
        with self._source(layout.package) as source:
            if self._wish.dry_run:
                now = self._context.clock.now()
                looked_at, zone = opened(source), self._context.zone
                plan = in_place_plan(looked_at, layout, selection, logs, protected, zone, now)
                obstacle = in_place_obstacle(layout, looked_at)
                return say_in_place_plan(plan, looked_at, obstacle, as_json=self._wish.as_json)
            restored = restore_in_place_recorded(
                source, layout, selection, logs, protected, self._told
            )
        folder, as_json = self._choice.folder, self._wish.as_json
        return say_restored(
            restored, folder, selection, in_place=True, is_of_database=True, as_json=as_json
        )

    def _unsealed(self) -> int:
        """Decrypt the archive beside the target for as long as the restore takes."""
        if self._wish.dry_run:
            raise click.UsageError("--dry-run cannot look into an encrypted archive; leave it out")
        sealed = self._choice.folder / str(self._choice.only)
        place = self._place()
        around = self._told.around
        with workplace(place.parent, sealed.stat().st_size) as folder:
            opened = open_sealed(
                sealed, self._wish.identity, folder, stop=around.stop, report=around.report
            )
            inner = Choice(folder, opened.name, None, (), is_newest=False)
            told = Told(None, self._told.zone, around)
            wish = replace(self._wish, to=place)
            return _Work(self._context, inner, wish, told).run()

    # --- where from, where to

    @contextmanager
    def _source(self, room_in: Path) -> Iterator[Path | SetSource]:
        """The set's folder, or what can be told without its manifest."""
        if not self._choice.is_bare:
            yield self._choice.folder
            return
        around = self._told.around
        with bare_source(
            self._choice.folder,
            self._choice.only,
            room_in,
            workers=2,
            stop=around.stop,
            report=around.report,
        ) as source:
            yield source

    def _place(self) -> Path:
        """Where a restore goes. Never into a set, the live application, or the folder one stands in."""
        if self._wish.to is None:
            return self._default_place()
        place = self._wish.to.absolute()
        if place == Path.cwd():
            raise click.UsageError("--to names the current folder; name a new one")
        if any((parent / MANIFEST).exists() for parent in (place, *place.parents)):
            raise click.UsageError(f"{place} lies in a set; rotation would remove it with the set")
        self._refuse_to_move_all(place)
        layout = self._choice.layout
        if layout is not None and place.is_relative_to(layout.package):
            raise click.UsageError(
                f"{place} lies in the live application; name a folder outside it, or use --in-place"
            )
        return place

    def _refuse_to_move_all(self, place: Path) -> None:
        """A folder that holds the application or the sets is never renamed."""
        layout = self._choice.layout
        kept = [self._choice.folder, Path.cwd(), *([] if layout is None else [layout.package])]
        if self._wish.set_aside and any(one.is_relative_to(place) for one in kept):
            raise click.UsageError(
                f"{place} holds the application, the sets or the folder you are in; it is not set aside. "
                "Name a folder of its own"
            )

    def _default_place(self) -> Path:
        name = self._choice.only
        if name is None:
            return default_target(self._choice.folder)
        folder = self._choice.folder
        if (folder / MANIFEST).exists() or (folder / CHECKSUMS).exists():
            return default_target(folder)  # in a set, rotation would remove it with the set
        return folder / f"{name.partition('.tar')[0].partition('.journal')[0]} restored"

    def _aside_of(self, place: Path) -> Path:
        stamp = self._context.clock.now().astimezone(self._context.zone)
        return place.with_name(f"{place.name} replaced {stamp:%Y-%m-%d %H-%M-%S}")

    def _log_wish(self) -> LogWish:
        layout = self._choice.layout
        mode = LogMode.CURRENT if self._choice.is_newest else LogMode.SET
        if self._wish.log is not None:
            mode = LogMode(self._wish.log)
        automatic, strictness = _integration(layout)
        others = self._choice.others
        return LogWish(mode, self._context.zone, layout, others, automatic, strictness)


def _integration(layout: DatabaseLayout | None) -> tuple[bool, str]:
    """What 4D will do with a log that is ahead, as its settings say; its defaults when they cannot be read."""
    if layout is None:
        return True, "strict"
    try:
        settings = load_settings(layout.settings_file).settings
    except (SettingsError, OSError):
        return True, "strict"
    return settings.automatic_log_integration, settings.strictness
