"""The Debian tree the machines boot: made once with mmdebstrap and kept, and a layer with today's program on it.

The tree lies in $XDG_CACHE_HOME/backup4d-tests, else /var/cache/backup4d-tests; remove it to have it made anew.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import HOUSE

_PACKAGES = "systemd,systemd-sysv,dbus,procps,python3-minimal,libpython3-stdlib,python3-venv"
_SUITE, _PYTHON = "bookworm", "3.11"
_TOOLS = ("unshare", "setpriv", "nsenter", "mount", "pivot_root", "chroot", "bash")
_MINUTES = 60


class NotMadeError(Exception):
    """What is needed could not be fetched or made here."""


def need_a_machine() -> None:
    """Skip, with the reason, where no machine can be booted."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
    if cgroups() is None:
        pytest.skip("needs cgroups of version 2")
    try:
        run("unshare", "--pid", "--mount", "--net", "--cgroup", "--uts", "--ipc", "--fork", "true")
    except NotMadeError as error:
        pytest.skip(f"needs namespaces: {error}")


def cgroups() -> Path | None:
    """Where the cgroups of version 2 are mounted."""
    for folder in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        if (folder / "cgroup.procs").exists() and os.access(folder, os.W_OK):
            return folder
    return None


def run(*words: str | Path, minutes: float = 1) -> str:
    """What a command prints. Raises NotMadeError with its last words."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=minutes * _MINUTES
        )
    except subprocess.TimeoutExpired as error:
        raise NotMadeError(f"{words[0]} did not end within {minutes} min") from error
    if done.returncode != 0:
        raise NotMadeError(f"{words[0]}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


def dependencies() -> list[str]:
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text("utf-8"))["project"]
    return [str(one) for one in project["dependencies"]]


def kept_tree() -> Path:
    """Debian with the libraries of the program in /opt/backup4d; made when it is not there. Raises NotMadeError."""
    what = "\n".join([_SUITE, _PACKAGES, *dependencies()])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "/var/cache") / "backup4d-tests"
    tree = cache / f"{_SUITE}-{hashlib.sha256(what.encode()).hexdigest()[:12]}"
    if not tree.is_dir():
        if shutil.which("mmdebstrap") is None:
            raise NotMadeError(f"needs mmdebstrap, or the tree {tree} from an earlier run")
        cache.mkdir(parents=True, exist_ok=True)
        half = tree.with_name(f"{tree.name}.{os.getpid()}")
        try:
            _make_tree(half)
            half.rename(tree)
        finally:
            shutil.rmtree(half, ignore_errors=True)
    return tree


def _make_tree(tree: Path) -> None:
    run(
        *("mmdebstrap", "--quiet", "--format=directory", "--variant=minbase"),
        f"--include={_PACKAGES}",
        _SUITE,
        tree,
        minutes=10,
    )
    wheels = tree / "wheels"
    download = ("pip", "download", "--quiet", "--only-binary=:all:", "--python-version", _PYTHON)
    run(sys.executable, "-m", *download, "--dest", wheels, *dependencies(), minutes=10)
    run("chroot", tree, "python3", "-m", "venv", "/opt/backup4d", minutes=3)
    pip = ["/opt/backup4d/bin/pip", "install", "--quiet", "--no-index", "--find-links=/wheels"]
    run("chroot", tree, *pip, *dependencies(), minutes=5)
    shutil.rmtree(wheels)
    run("chroot", tree, "useradd", "--create-home", "fourd")
    run("chroot", tree, "useradd", "--create-home", "stock")


def make_wheel(folder: Path) -> Path:
    """The wheel of this working copy. Raises NotMadeError."""
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps")
    run(*pip, "--wheel-dir", folder, HOUSE, minutes=5)
    (wheel,) = folder.glob("backup4d-*.whl")
    return wheel


def installed_layer(tree: Path, folder: Path) -> str:
    """A layer on the tree where the wheel is installed as the README says, as overlayfs' lowerdir=."""
    layer, work, root = (folder / name for name in ("layer", "work", "root"))
    for one in (layer, work, root, layer / "wheels"):
        one.mkdir(parents=True)
    make_wheel(layer / "wheels")
    script = (
        'mount -t overlay -o "lowerdir=$0,upperdir=$1,workdir=$2" overlay "$3"; chroot "$3" sh -ec '
        "'/opt/backup4d/bin/pip install --quiet --no-index --no-deps /wheels/*; rm -r /wheels'"
    )
    unshare = ("unshare", "--mount", "--propagation", "private", "bash", "-ec", script)
    run(*unshare, tree, layer, work, root, minutes=3)
    return f"{layer}:{tree}"
