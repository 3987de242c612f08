"""backup4d and what a user would pick instead, each as the commands a user would type."""

import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.benchmarks.bench import Bench
from tests.benchmarks.data import Options, write_settings
from tests.benchmarks.measure import Contestant, clear, nothing, quietly, warm

TAR = "tar | zstd -1 -T2, fsync"
RESTIC = "restic"
BORG = "borg zstd,1"
COPY = "cp -a, sync"
OURS = "backup4d"
NO_CHECK = "backup4d, no check"
WITH_CHECK = "backup4d, with check"
PEERS = (RESTIC, BORG)
_PROGRAMS = {TAR: ("tar", "zstd"), RESTIC: ("restic",), BORG: ("borg",)}


def present(name: str) -> bool:
    """Whether what a contestant needs is installed; backup4d is."""
    return all(shutil.which(program) for program in _PROGRAMS.get(name, ()))


def missing() -> tuple[str, ...]:
    """A line for every one that is left out."""
    return tuple(
        f"{name} is left out: {', '.join(programs)} not installed"
        for name, programs in _PROGRAMS.items()
        if not present(name)
    )


def chosen(*contestants: Contestant) -> list[Contestant]:
    """Those that can run here."""
    return [one for one in contestants if present(one.name)]


def ours(*words: object) -> tuple[str, ...]:
    """A command of backup4d, from this tree."""
    return (sys.executable, "-P", "-m", "scheduler", *(str(word) for word in words))


def shell(script: str) -> tuple[str, ...]:
    """A pipeline, all of which must succeed."""
    return ("bash", "-c", f"set -o pipefail; {script}")


def tar_script(package: Path, archive: Path) -> str:
    """A compressed tar that is on the disk when it ends."""
    at, to = shlex.quote(str(package)), shlex.quote(str(archive))
    folder = shlex.quote(str(archive.parent))
    return f"tar -C {at} -c . | zstd -q -1 -T2 -f -o {to} && sync {to} {folder}"


def tar_backup(bench: Bench, package: Path) -> Contestant:
    """Into one file, always the same."""
    archive = bench.store / "tar" / "archive.tar.zst"

    def prepare() -> None:
        clear(archive.parent)
        warm(package)

    return Contestant(TAR, shell(tar_script(package, archive)), archive, prepare)


def copy_backup(bench: Bench, package: Path) -> Contestant:
    """Nothing compressed, nothing checked: what the disk itself takes."""
    folder = bench.store / "cp"
    at, to = shlex.quote(str(package)), shlex.quote(str(folder))

    def prepare() -> None:
        clear(folder)
        warm(package)

    return Contestant(COPY, shell(f"cp -a {at} {to}/copy && sync -f {to}"), folder, prepare)


def restic_backup(bench: Bench, package: Path, *, first: bool) -> Contestant:
    """Into a new repository each time, or into one that is there."""
    at = ("restic", "-q", "-r", str(bench.store / "restic"))
    prepare = partial(prepare_restic, bench) if first else nothing
    return Contestant(
        RESTIC,
        (*at, "backup", str(package)),
        bench.store / "restic",
        partial(_prepared, prepare, package),
    )


def borg_backup(bench: Bench, package: Path, *, first: bool) -> Contestant:
    """The same for borg."""
    archive = f"{bench.store / 'borg'}::{{utcnow:%Y%m%d%H%M%S%f}}"
    prepare = partial(prepare_borg, bench) if first else nothing
    return Contestant(
        BORG,
        ("borg", "create", "-C", "zstd,1", archive, str(package)),
        bench.store / "borg",
        partial(_prepared, prepare, package),
    )


def our_backup(
    bench: Bench, package: Path, name: str, options: Options, *, first: bool
) -> Contestant:
    """With its settings in place; the sets before it gone when it is to be a first one."""

    def prepare() -> None:
        if first:
            bench.forget_ours(package)
        sets.mkdir(parents=True, exist_ok=True)
        write_settings(package, sets, options)
        warm(package)

    sets = sets_folder(bench, options)
    sets.mkdir(parents=True, exist_ok=True)
    return Contestant(name, ours("backup", package), sets, prepare)


def sets_folder(bench: Bench, options: Options) -> Path:
    """One for sets made with check and one for those without."""
    return bench.store / "sets" / ("checked" if options.check else "unchecked")


def prepare_restic(bench: Bench) -> None:
    """A new repository and no cache."""
    repository = bench.store / "restic"
    shutil.rmtree(repository, ignore_errors=True)
    shutil.rmtree(bench.environment["RESTIC_CACHE_DIR"], ignore_errors=True)
    quietly(("restic", "-q", "-r", str(repository), "init"), bench.environment)


def prepare_borg(bench: Bench) -> None:
    """A new repository and no cache."""
    repository = bench.store / "borg"
    shutil.rmtree(repository, ignore_errors=True)
    shutil.rmtree(bench.environment["BORG_BASE_DIR"], ignore_errors=True)
    quietly(("borg", "init", "-e", "none", str(repository)), bench.environment)


@contextmanager
def two_applications(bench: Bench) -> Iterator[tuple[Path, Path]]:
    """Two copies: of the first everybody has made a first backup, of the second backup4d with its check.

    Two, because a change of the settings between runs would be a change of the application.
    """
    with (
        bench.own_application("repeated") as package,
        bench.own_application("repeated checked") as checked,
    ):
        _first_backups(bench, package)
        make_set(bench, package, Options(check=False))
        make_set(bench, checked, Options())
        yield package, checked


def _first_backups(bench: Bench, package: Path) -> None:
    """Of those that are here, unmeasured."""
    if present(RESTIC):
        prepare_restic(bench)
        quietly(restic_backup(bench, package, first=False).command, bench.environment)
    if present(BORG):
        prepare_borg(bench)
        quietly(borg_backup(bench, package, first=False).command, bench.environment)


def make_set(bench: Bench, package: Path, options: Options) -> Path:
    """The folder of a new set, unmeasured."""
    our = our_backup(bench, package, OURS, options, first=False)
    our.prepare()
    quietly(our.command, bench.environment)
    return newest_set(sets_folder(bench, options))


def newest_set(sets: Path) -> Path:
    """The folder of the set made last."""
    folders = [one for one in sets.iterdir() if one.name.endswith("]")]
    return max(folders, key=lambda one: one.stat().st_mtime_ns)


def _prepared(prepare: Callable[[], None], package: Path) -> None:
    prepare()
    warm(package)
