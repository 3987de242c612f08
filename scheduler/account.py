"""The user that runs the service: found by who owns an application, and asked what it may read and write."""

import grp
import os
import pwd
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import Code, RefusedError
from scheduler.install import Account


def find_account(package: Path, user: str | None, group: str | None) -> Account:
    """This user and group, and in place of what is None the owner of the package.

    Raises RefusedError when that is root, OSError.
    """
    facts = package.stat()
    owner, its_group = _user_name(facts.st_uid), _group_name(facts.st_gid)
    if user is None and owner == "root":
        raise RefusedError(
            f"{package} belongs to root, and the service never needs to be root",
            hint="give the application to a user of its own (chown -R), or name one with --user",
            code=Code.DONE,
        )
    return Account(user or owner, group or its_group)


def refusals(account: Account, reads: Iterable[Path], writes: Iterable[Path]) -> list[str]:
    """What this user may not do with what is there, in the kernel's own judgement. Only root can ask.

    Raises RefusedError for a user that this machine does not know.
    """
    # looked at before: this user may not even see what is there
    reading = [(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK) for path in reads]
    writing = [path for path in writes if path.exists()]
    with _acting_as(account):
        found = [
            f"{account.user} may not read {path}" for path, how in reading if not _may(path, how)
        ]
        found += [
            f"{account.user} may not write in {path}"
            for path in writing
            if not _may(path, os.W_OK | os.X_OK)
        ]
    return found


def _may(path: Path, how: int) -> bool:
    return os.access(path, how, effective_ids=True)


@contextmanager
def _acting_as(account: Account) -> Iterator[None]:
    user, group, groups = _numbers(account)
    own = os.getgroups()
    os.setgroups(groups)
    os.setegid(group)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(own)


def _numbers(account: Account) -> tuple[int, int, list[int]]:
    try:
        group = _group_number(account.group)
        if account.user.isdecimal():
            return int(account.user), group, [group]
        user = pwd.getpwnam(account.user)
    except KeyError as error:
        raise RefusedError(
            f"this machine does not know user {account.user} with group {account.group}",
            hint="make the user first (adduser --system --group NAME), or name others: --user, --group",
            code=Code.DONE,
        ) from error
    return user.pw_uid, group, os.getgrouplist(user.pw_name, group)


def _group_number(group: str) -> int:
    return int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid


def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
