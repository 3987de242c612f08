"""One module reads the clock, one starts processes, one reads the environment; files stay short."""

import subprocess
import sys

import pytest

from tests.house.source import Module, called_names, modules, used_names

CLOCK = {
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
}
TIME_PURE = {"time.strftime", "time.strptime", "time.struct_time"}
PROCESSES = {
    "os.system",
    "os.popen",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.posix_spawnp",
    "pty.spawn",
    "pty.fork",
}
STARTING = ("os.exec", "os.spawn", "subprocess.", "multiprocessing.", "concurrent.futures.Process")
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv", "os.unsetenv"}


def label(one: Module) -> str:
    return one.name


def but(*names: str) -> list[Module]:
    return [one for one in modules() if one.name not in names]


@pytest.mark.parametrize("one", but("engine.host"), ids=label)
def test_only_the_host_reads_the_clock(one: Module) -> None:
    found = [
        (name, line)
        for name, line in used_names(one)
        if name in CLOCK or (name.startswith("time.") and name not in TIME_PURE)
    ]

    assert found == []


@pytest.mark.parametrize("one", but("engine.host"), ids=label)
def test_only_the_host_starts_processes(one: Module) -> None:
    found = [
        (name, line)
        for name, line in called_names(one)
        if name in PROCESSES or name.startswith(STARTING)
    ]

    assert found == []


@pytest.mark.parametrize("one", but("scheduler.environment"), ids=label)
def test_only_one_module_reads_the_environment(one: Module) -> None:
    found = [(name, line) for name, line in used_names(one) if name in ENVIRONMENT]

    assert found == []


@pytest.mark.parametrize("one", modules(), ids=label)
def test_a_file_is_short_enough_to_hold_in_the_head(one: Module) -> None:
    assert len(one.text.splitlines()) <= 400


@pytest.mark.parametrize("one", modules(), ids=label)
def test_a_file_says_what_it_is_for(one: Module) -> None:
    assert one.text.startswith('"""')


def test_the_scan_sees_what_it_looks_for() -> None:
    """The scan would be blind without this: the host itself does all that it forbids to others."""
    host = next(one for one in modules() if one.name == "engine.host")
    used = {name for name, _ in used_names(host)}
    called = {name for name, _ in called_names(host)}

    assert {"datetime.datetime.now", "time.monotonic", "time.sleep"} <= used
    assert "subprocess.Popen" in called


def test_importing_the_whole_service_starts_no_process() -> None:
    """croniter would run `file` on Python's binary; an audit hook sees every start."""
    code = (
        "import sys\n"
        "started = []\n"
        "sys.addaudithook(lambda name, _: started.append(name) if name == 'subprocess.Popen' else None)\n"
        "import scheduler.commands_service, scheduler.runner\n"
        "assert started == [], started\n"
    )

    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=False)

    assert done.returncode == 0, done.stderr
