"""Commands that install backup4d as a service of systemd and take it away again: look, plan, tell, do."""

import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import click

from engine.errors import Code, EngineError, Exit, RefusedError
from scheduler.account import find_account, refusals
from scheduler.context import Context, make_context
from scheduler.environment import SYSTEM_SERVICE_FILE, SYSTEM_STATE_FOLDER, read_environment
from scheduler.install import (
    MAIN,
    UNIT_FOLDER,
    UPDATED,
    Account,
    Action,
    Keep,
    Remove,
    Write,
    account_of_drop_in,
    beside,
    carry_out,
    check_instance,
    check_nameable,
    database_lines,
    drop_in_text,
    hidden_by_unit,
    installed_files,
    instance_drop_in,
    look_at,
    main_drop_in,
    outermost,
    plan_files,
    plan_removal,
    plan_service_file,
    service_file_text,
)
from scheduler.install_look import (
    Needs,
    enabled_units,
    needs_of,
    program,
    program_files,
    shipped,
    shipped_unit,
)
from scheduler.instance import TEMPLATE, instance_unit
from scheduler.screen import say, warn
from settings.service_model import ServedDatabase

_TOP = Path("/")
_UNSEEN = "%s is not seen by the service, which has a /tmp of its own"
_DATABASES = click.argument("databases", nargs=-1, type=click.Path(path_type=Path))
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Show what would be done; change nothing.")
_ROOT = click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=_TOP,
    help="Another place for / where files are written, for packages and tests.",
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where things are installed; `is_here` when that is this machine itself."""

    root: Path

    @property
    def is_here(self) -> bool:
        return self.root == _TOP

    @property
    def units(self) -> Path:
        return self.root / UNIT_FOLDER

    @property
    def service_file(self) -> Path:
        return self.root / SYSTEM_SERVICE_FILE.relative_to(_TOP)


@click.command("install-service")
@_DATABASES
@click.option("--user", help="Who runs the service; by default the owner of the first DATABASE.")
@click.option("--group", help="Its group; by default that of the first DATABASE.")
@click.option(
    "--instance", is_flag=True, help="A service of its own for each DATABASE (backup4d@.service)."
)
@_DRY_RUN
@_ROOT
@click.pass_context
def install_service(
    ctx: click.Context,
    /,
    databases: tuple[Path, ...],
    *,
    instance: bool,
    dry_run: bool,
    root: Path,
    **account: str | None,
) -> int:
    """Install backup4d as a service of systemd that serves DATABASES and those of the service file.

    Writes the units, a first /etc/backup4d/service.xml, and a drop-in with the user and the folders that
    may be written to. May be repeated; what you have edited is left alone. Ends with what to type next.
    """
    _refuse_other_service_file(ctx)
    place = _Place(root.absolute())
    _need_root(place, dry_run=dry_run)
    context = _context(place)
    named = _named(context, databases)
    if instance:
        return _install_instances(
            place, context, named, (account["user"], account["group"]), dry_run=dry_run
        )
    return _install_main(
        place, context, named, (account["user"], account["group"]), dry_run=dry_run
    )


@click.command("uninstall-service")
@_DRY_RUN
@_ROOT
def uninstall_service(*, dry_run: bool, root: Path) -> int:
    """Remove what install-service wrote: units and drop-ins that nobody has edited.

    The service file, what the service remembers, journals and sets stay.
    """
    place = _Place(root.absolute())
    _need_root(place, dry_run=dry_run)
    enabled = enabled_units(place.units)
    if enabled:
        raise EngineError(
            f"{', '.join(enabled)} would be started at the next boot without its unit",
            hint=f"first: systemctl disable --now {shlex.join(enabled)}",
            code=Code.DONE,
        )
    actions = list(plan_removal(look_at(installed_files(place.units))))
    _tell(actions, dry_run=dry_run)
    if not actions:
        say("nothing is installed")
    elif not dry_run:
        carry_out(actions)
    say(f"left alone: {place.service_file}, {SYSTEM_STATE_FOLDER}*, all journals and all sets")
    _tell_next(["systemctl daemon-reload"] if actions else [], dry_run=dry_run)
    return _exit_for(actions)


# --- the two ways to be served --------------------------------------------------------------------

_Wanted = tuple[str | None, str | None]


def _install_main(
    place: _Place,
    context: Context,
    named: tuple[ServedDatabase, ...],
    wanted: _Wanted,
    *,
    dry_run: bool,
) -> int:
    listed = {entry.package for entry in context.service.databases}
    unlisted = [entry.package for entry in named if entry.package not in listed]
    served = tuple(dict.fromkeys((*named, *context.service.databases)))
    drop_in = main_drop_in(place.units)
    account = _account(served, drop_in, wanted)
    needs = [needs_of(context, entry) for entry in served]
    files = {place.units / name: shipped_unit(name) for name in (MAIN, TEMPLATE)}
    files[drop_in] = drop_in_text(account, _folders(needs))
    actions = _plan(files)
    there = look_at([place.service_file])[place.service_file]
    text = service_file_text(shipped("service.xml"), unlisted)
    actions.append(plan_service_file(place.service_file, text, there, len(unlisted)))
    _check_account(place, account, needs)
    _finish(actions, dry_run=dry_run)
    if there is not None and unlisted:
        warn(f"add these lines to {place.service_file}, between <Databases> and </Databases>:")
        warn(database_lines(unlisted).rstrip())
    return _end(actions, [MAIN], needs, account, dry_run=dry_run)


def _install_instances(
    place: _Place,
    context: Context,
    named: tuple[ServedDatabase, ...],
    wanted: _Wanted,
    *,
    dry_run: bool,
) -> int:
    if not named:
        raise click.UsageError("--instance needs a DATABASE")
    listed = {entry.package for entry in context.service.databases}
    for entry in named:
        check_instance(entry.package)
        if entry.package in listed:
            raise RefusedError(
                f"{entry.package} is listed in {place.service_file}: it would be served twice",
                hint="take it off that list first, and restart backup4d.service",
                code=Code.DONE,
            )
    files = {place.units / TEMPLATE: shipped_unit(TEMPLATE)}
    needs = [needs_of(context, entry) for entry in named]
    accounts = []
    for entry, need in zip(named, needs, strict=True):
        drop_in = instance_drop_in(place.units, entry.package)
        account = _account((entry,), drop_in, wanted)
        files[drop_in] = drop_in_text(account, need.folders)
        _check_account(place, account, [need])
        accounts.append(account)
    actions = _plan(files)
    _finish(actions, dry_run=dry_run)
    units = [instance_unit(entry.package) for entry in named]
    return _end(actions, units, needs, accounts[0], dry_run=dry_run)


def _plan(files: dict[Path, str]) -> list[Action]:
    found = look_at([one for file in files for one in (file, beside(file))])
    return list(plan_files(files, found))


def _finish(actions: list[Action], *, dry_run: bool) -> None:
    _tell(actions, dry_run=dry_run)
    if not dry_run:
        carry_out(actions)


# --- looking --------------------------------------------------------------------------------------


def _refuse_other_service_file(ctx: click.Context) -> None:
    if ctx.find_root().params.get("service_file") is not None:
        raise click.UsageError(
            "an installed service reads /etc/backup4d/service.xml; leave --service-file out"
        )


def _need_root(place: _Place, *, dry_run: bool) -> None:
    if place.is_here and not dry_run and os.geteuid() != 0:
        raise EngineError(
            f"only root may write in {place.units}",
            hint="type the same with sudo before it, or with --dry-run to see what would be done",
            code=Code.DONE,
        )


def _context(place: _Place) -> Context:
    environment = replace(read_environment(), service_file=place.service_file)
    return make_context(environment, None)


def _named(context: Context, databases: tuple[Path, ...]) -> tuple[ServedDatabase, ...]:
    for database in databases:
        if not database.exists():
            raise click.UsageError(f"there is no database at {database}")
    named = context.served(databases) if databases else ()
    for entry in named:
        check_nameable(entry.package)
    return named


def _account(served: tuple[ServedDatabase, ...], drop_in: Path, wanted: _Wanted) -> Account:
    before = account_of_drop_in(look_at([drop_in])[drop_in] or "")
    user, group = (told or kept for told, kept in zip(wanted, before, strict=True))
    if user is not None and group is not None:
        return Account(user, group)
    if not served:
        raise click.UsageError("name a DATABASE, or say with --user and --group who runs it")
    return find_account(served[0].package, user, group)


def _folders(needs: Iterable[Needs]) -> list[Path]:
    return [folder for need in needs for folder in need.folders]


# --- asking the kernel ----------------------------------------------------------------------------


def _check_account(place: _Place, account: Account, needs: Iterable[Needs]) -> None:
    """Refuse what this user can never start; warn of what it may not read or write now."""
    problems = [_UNSEEN % path for path in program_files() if hidden_by_unit(path)]
    concerns = [note for need in needs for note in need.notes]
    concerns += [
        _UNSEEN % path
        for need in needs
        for path in outermost((need.package, *need.folders))
        if hidden_by_unit(path)
    ]
    if os.geteuid() == 0:
        reads = [need.package for need in needs]
        problems += refusals(account, program_files(), ())
        concerns += refusals(account, reads, _folders(needs))
    if problems and place.is_here:
        raise RefusedError(
            f"the service could not be started: {problems[0]}",
            hint="install backup4d where everybody may read it: python3 -m venv /opt/backup4d",
            code=Code.DONE,
        )
    for text in problems + concerns:
        warn(f"warning: {text}")


# --- telling --------------------------------------------------------------------------------------


def _tell(actions: Iterable[Action], *, dry_run: bool) -> None:
    for action in actions:
        match action:
            case Write(file=file, text=text, why=why) if dry_run:
                say(f"would write {file} ({why}):")
                say(text)
            case Write(file=file, why=why):
                say(f"written   {file} ({why})")
            case Remove(file=file, why=why):
                say(f"{'would remove' if dry_run else 'removed  '} {file} ({why})")
            case Keep(file=file, why=why, is_edited=True):
                warn(f"kept      {file} ({why})")
            case Keep(file=file, why=why):
                say(f"kept      {file} ({why})")


def _end(
    actions: list[Action], units: list[str], needs: list[Needs], account: Account, *, dry_run: bool
) -> int:
    changed = [action for action in actions if not isinstance(action, Keep)]
    if not changed:
        say("nothing had to be changed")
    lines = [
        f"install -d -o {account.user} -g {account.group} {shlex.quote(str(folder))}"
        for folder in _folders(needs)
        if not folder.exists()
    ]
    names = shlex.join(units)
    if changed:
        lines += ["systemctl daemon-reload", f"systemctl enable --now {names}"]
    if any(action.why == UPDATED for action in actions):
        lines.append(f"systemctl restart {names}")
    lines.append(f"{program()} status" if units == [MAIN] else f"systemctl status {names}")
    _tell_next(lines, dry_run=dry_run)
    return _exit_for(actions)


def _tell_next(lines: list[str], *, dry_run: bool) -> None:
    if lines and not dry_run:
        say("what to type next:")
        for line in lines:
            say(f"  {line}")


def _exit_for(actions: Iterable[Action]) -> int:
    edited = any(isinstance(action, Keep) and action.is_edited for action in actions)
    return Exit.FAILED if edited else Exit.DONE
