"""The works that read sets: restore, verify."""

import json
import shlex
import shutil
from functools import partial
from pathlib import Path

from tests.benchmarks.backups import CHECKED
from tests.benchmarks.bench import Bench, Result, room_for
from tests.benchmarks.contestants import (
    BORG,
    PEERS,
    RESTIC,
    TAR,
    chosen,
    make_set,
    ours,
    prepare_borg,
    prepare_restic,
    present,
    shell,
    tar_script,
)
from tests.benchmarks.measure import (
    Contestant,
    clear,
    drop,
    quietly,
    run_rounds,
    stored_bytes,
    warm,
)
from tests.benchmarks.table import Limit

_SMALL_BYTES = 10_000
_TAR_OUT = "zstd -dc | tar -x"
_OURS_OUT = "backup4d restore"
_TESTED = "zstd -t + sha256sum"
_VERIFIED = "backup4d verify"
_COLD = ", cold"


def restore(bench: Bench) -> Result:
    """A whole restore into a new folder, and one small file."""
    package, out, kept = bench.package, bench.store / "out", bench.store / "kept"
    bench.forget(package)
    folder = make_set(bench, package, CHECKED)
    kept.mkdir()
    rows = [
        *_from_tar(bench, package, out),
        Contestant(_OURS_OUT, ours("restore", folder, "--to", out), out),
        *_from_peers(bench, package, out),
        Contestant(
            "backup4d, one small file",
            ours("restore", folder, "--to", out, "--only", _small_file(bench, folder)),
            out,
        ),
    ]
    prepared = [
        Contestant(
            row.name,
            row.command,
            row.output,
            partial(_ready, bench, out),
            partial(_keep, out, kept),
        )
        for row in rows
    ]
    samples = run_rounds(prepared, bench.runs, bench.environment)
    limits = (Limit(_OURS_OUT, (_TAR_OUT,), 0.65), Limit(_OURS_OUT, PEERS, 1.0))
    clear(bench.store)
    return Result("restore", samples, limits)


def verify(bench: Bench) -> Result:
    """A set read and compared, against what sha256sum and zstd can say of the same files."""
    bench.forget(bench.package)
    folder = make_set(bench, bench.package, CHECKED)
    archives = sorted(file for file in folder.iterdir() if file.name.endswith(".zst"))
    names = " ".join(shlex.quote(str(file)) for file in archives)
    rows = []
    for name, command in (
        (_TESTED, shell(f"zstd -tq {names} && sha256sum {names}")),
        (_VERIFIED, ours("verify", folder)),
    ):
        rows.append(Contestant(name, command, folder, partial(warm, folder)))
        rows.append(Contestant(name + _COLD, command, folder, partial(drop, folder)))
    samples = run_rounds(rows, bench.runs, bench.environment)
    limits = tuple(Limit(_VERIFIED + end, (_TESTED + end,), 1.0) for end in ("", _COLD))
    note = (
        "the whole set counts: both archives of it; verify reads past the page cache where it can"
    )
    return Result("verify", samples, limits, (note,))


def _from_tar(bench: Bench, package: Path, out: Path) -> list[Contestant]:
    """From an archive that tar and zstd made, without and with what makes it durable."""
    if not present(TAR):
        return []
    archive = bench.store / "tar" / "archive.tar.zst"
    clear(archive.parent)
    quietly(shell(tar_script(package, archive)), bench.environment)
    to = shlex.quote(str(out))
    script = f"mkdir {to} && zstd -dcq {shlex.quote(str(archive))} | tar -xp -C {to}"
    return [
        Contestant(_TAR_OUT, shell(script), out),
        Contestant(f"{_TAR_OUT}, sync", shell(f"{script} && sync -f {to}"), out),
    ]


def _from_peers(bench: Bench, package: Path, out: Path) -> list[Contestant]:
    repository, borg = bench.store / "restic", f"{bench.store / 'borg'}::whole"
    if present(RESTIC):
        prepare_restic(bench)
        quietly(("restic", "-q", "-r", str(repository), "backup", str(package)), bench.environment)
    if present(BORG):
        prepare_borg(bench)
        quietly(("borg", "create", "-C", "zstd,1", borg, str(package)), bench.environment)
    to = shlex.quote(str(out))
    at = ("restic", "-q", "-r", str(repository), "restore", "latest", "--target", str(out))
    extract = f"mkdir {to} && cd {to} && borg extract {shlex.quote(borg)}"
    return chosen(Contestant(RESTIC, at, out), Contestant(BORG, shell(extract), out))


def _ready(bench: Bench, out: Path) -> None:
    """Nothing where it goes, and everything it is read from in the page cache."""
    if out.exists():
        shutil.rmtree(out)
    warm(*(bench.store / name for name in ("sets", "tar", "restic", "borg")))


def _keep(out: Path, kept: Path) -> None:
    """Out of the way, and not removed while there is room.

    ext4 without a journal looks for new inodes slowly for minutes after many were given back, and the next
    contestant would pay for it.
    """
    size = stored_bytes(out)
    out.rename(kept / str(len(list(kept.iterdir()))))
    if not room_for(kept, 2 * size):
        clear(kept)


def _small_file(bench: Bench, folder: Path) -> str:
    """The file of the set that is nearest to 10 KB."""
    rows = json.loads(quietly(ours("show", "--json", folder), bench.environment))["contents"]
    files = [row for row in rows if row["type"] == "file" and row["role"] == "structure"]
    return str(min(files, key=lambda row: abs(row["size"] - _SMALL_BYTES))["path"])
