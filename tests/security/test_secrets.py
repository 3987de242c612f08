"""What nobody is to read elsewhere: keys, arguments of hooks, the environment of who started us, content."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.stories import App, judge, main_archive, make_app
from tests.scheduler.real import PROGRAM, environment, service_of, visible, wait_until

SECRET = "hunter2-not-for-others"  # noqa: S105 - what it is for
_HOOK = """#!/bin/sh
cat > /dev/null
env > "$(dirname "$0")/environment"
sleep 0.3
exit {code}
"""


@pytest.fixture
def app(tmp_path: Path) -> App:
    return make_app(tmp_path, data=SECRET.encode() * 10)


def with_hook(app: App, tmp_path: Path, code: int) -> Path:
    """A service file whose startup hook has a password for an argument."""
    hook = tmp_path / "hook"
    hook.write_text(_HOOK.format(code=code))
    hook.chmod(0o700)
    file = tmp_path / "service.xml"
    file.write_text(
        f"<Backup4DService><Databases><Database><Package>{app.package}</Package></Database></Databases>"
        f"<Hooks><Startup><Program>{hook}</Program><Argument>{SECRET}</Argument></Startup></Hooks>"
        "</Backup4DService>"
    )
    return file


@pytest.mark.slow
@pytest.mark.parametrize("code", [0, 1])
def test_arguments_of_hooks_are_told_to_nobody(app: App, tmp_path: Path, code: int) -> None:
    file, state = with_hook(app, tmp_path, code), tmp_path / "state"
    program = [*PROGRAM, "--service-file", str(file), "--state-folder", str(state)]
    seen: set[str] = set()
    with service_of(file, state) as real:
        wait_until((state / "control.sock").exists, "no service")
        backup = subprocess.Popen(
            [*program, "backup", str(app.package)],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        while backup.poll() is None:
            seen |= set(command_lines(os.getpid()))
            time.sleep(0.02)
        assert backup.stdout is not None
        said = real.said() + backup.stdout.read().decode()
        backup.stdout.close()
    status = subprocess.run(
        [*program, "status", "--json"], env=environment(), capture_output=True, check=False
    )
    said += (status.stdout + status.stderr).decode()

    assert bool(visible(app)) == (code == 0), said
    assert any("engine.keeper" in line for line in seen), seen
    assert [line for line in seen if SECRET in line and str(tmp_path / "hook") not in line] == []
    assert SECRET not in said
    copy = state / "service.xml"
    assert found_in(SECRET, app.package / "Logs", app.destination, state) == [copy]
    assert copy.stat().st_mode & 0o777 == 0o600


def command_lines(parent: int) -> Iterator[str]:
    """What everybody can read of our processes and theirs."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            facts = (folder / "stat").read_text().rpartition(")")[2].split()
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if int(facts[1]) == parent:
            yield line
            yield from command_lines(int(folder.name))


def found_in(text: str, *folders: Path) -> list[Path]:
    """Plain files that hold it; archives hold everything, and are none."""
    return [
        file
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file() and file.suffix != ".zst" and text.encode() in file.read_bytes()
    ]


def test_content_is_in_archives_alone(app: App) -> None:
    app.configure(attachments=["./Secret/"])
    (app.package / "Secret").mkdir()
    (app.package / "Secret" / "keys").write_text(SECRET)

    folder = app.backup_set()

    assert SECRET.encode() in judge("zstd", "-dqc", main_archive(folder))
    assert found_in(SECRET, app.destination, app.package / "Logs") == []


@pytest.mark.slow
def test_hooks_are_not_handed_the_environment_of_who_started_the_service(
    app: App, tmp_path: Path
) -> None:
    file = with_hook(app, tmp_path, 0)
    program = [*PROGRAM, "--service-file", str(file), "--state-folder", str(tmp_path / "state")]

    done = subprocess.run(
        [*program, "backup", str(app.package)],
        env=environment(TOKEN=SECRET),
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    given = (tmp_path / "environment").read_text()
    assert "BACKUP4D_DATABASE=" in given
    assert SECRET not in given
    assert SECRET.encode() not in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("age") is None, reason="age is not on this machine")
def test_a_key_is_no_word_of_ours_and_no_argument(app: App, tmp_path: Path) -> None:
    key = tmp_path / "key.txt"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    lines = key.read_text().splitlines()
    public, secret = lines[1].rpartition(" ")[2], lines[2]
    archive = main_archive(app.backup_set())
    sealed = tmp_path / f"{archive.name}.age"
    subprocess.run(["age", "-r", public, "-o", sealed, archive], check=True)
    (tmp_path / "broken.txt").write_text(f"{secret[:-1]}\n")

    for identity, code in ((key, 0), (tmp_path / "broken.txt", 1)):
        target = tmp_path / f"back {code}"
        command = [
            *PROGRAM,
            "restore",
            str(sealed),
            "--identity",
            str(identity),
            "--to",
            str(target),
        ]
        process = subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        seen: set[str] = set()
        while process.poll() is None:
            seen |= set(command_lines(os.getpid()))
        assert process.stdout is not None
        said = process.stdout.read().decode()
        process.stdout.close()

        assert process.returncode == code, said
        assert secret[:-1] not in said
        assert not [line for line in seen if secret[:-1] in line]
        assert not target.exists() or found_in(secret[:-1], target) == []
