"""What the harness does around a measurement: its options, its data, its runs, its clean-up."""

import os
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import parse
from tests.benchmarks.data import (
    Options,
    data_file,
    make_application,
    make_large_application,
    make_small_files,
    mutate,
    write_settings,
)
from tests.benchmarks.facts import memory, processor, version_of
from tests.benchmarks.levels import rate_of
from tests.benchmarks.measure import (
    Contestant,
    RunFailedError,
    busy_of,
    launch,
    rotated,
    run_once,
    run_rounds,
    stored_bytes,
)

_KIB, _MIB = 1 << 10, 1 << 20
_PYTHON = (sys.executable, "-I", "-S", "-c")


def environment(folder: Path) -> dict[str, str]:
    return {"TMPDIR": str(folder), "PATH": os.environ["PATH"]}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_without_a_name_the_works_of_the_table_are_done_and_the_long_ones_are_not() -> None:
    assert parse([]).works == [
        "first",
        "changed",
        "unchanged",
        "touched",
        "small",
        "restore",
        "verify",
        "check",
    ]
    assert parse(["all"]).works[8:] == ["memory", "scaling", "recovery", "levels"]
    assert parse(["verify", "first"]).works == ["first", "verify"]
    assert parse([]).runs == 5


def test_sizes_and_counts_are_taken_in_order() -> None:
    options = parse(["scaling", "--sizes-gib", "4,0.5", "--counts", "100,10"])

    assert (options.sizes_gib, options.counts) == ((0.5, 4), (10, 100))


@pytest.mark.parametrize(
    "words", [["fastest"], ["--runs", "0"], ["--sizes-gib", "0,1"], ["--counts", "x"]]
)
def test_what_cannot_be_measured_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(words)

    assert ended.value.code == 2
    assert words[-1] in capsys.readouterr().err


def test_another_contestant_begins_each_round(tmp_path: Path) -> None:
    order: list[str] = []
    rows = [Contestant(name, ("true",), tmp_path, partial(order.append, name)) for name in "abc"]

    samples = run_rounds(rows, 2, environment(tmp_path))

    assert order == ["a", "b", "c", "b", "c", "a"]
    assert {name: len(runs) for name, runs in samples.items()} == {"a": 2, "b": 2, "c": 2}
    assert rotated([], 1) == []


def test_a_process_below_the_command_counts_and_the_harness_does_not(tmp_path: Path) -> None:
    ours = bytearray(os.urandom(_MIB) * 80)
    busy = "import time; t = time.process_time()\nwhile time.process_time() < t + 0.2: pass"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-I', '-S', '-c', {busy!r}])"

    cost = launch((*_PYTHON, child), environment(tmp_path))

    assert cost["code"] == 0
    assert 0.2 <= cost["cpu"] < 2
    assert cost["peak_kib"] < len(ours) // _KIB
    assert cost["wall"] >= 0.2


def test_memory_of_the_command_is_seen(tmp_path: Path) -> None:
    cost = launch((*_PYTHON, f"x = b'x' * {64 * _MIB}"), environment(tmp_path))

    assert 64 * _KIB < cost["peak_kib"] < 100 * _KIB


def test_what_a_run_adds_is_counted_and_not_what_was_there(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "old").write_bytes(bytes(1000))
    command = ("bash", "-c", f"head -c 300 /dev/zero > '{store}/new'; ln '{store}/new' '{store}/2'")

    sample = run_once(Contestant("ours", command, store), environment(tmp_path))

    assert sample.stored == 300
    assert stored_bytes(store) == 1300


def test_a_failed_run_is_no_measurement_and_says_why(tmp_path: Path) -> None:
    failing = Contestant("ours", ("bash", "-c", "echo no room >&2; exit 3"), tmp_path)

    with pytest.raises(RunFailedError, match="ours ended with 3: no room"):
        run_once(failing, environment(tmp_path))
    with pytest.raises(RunFailedError, match="was not started"):
        launch((str(tmp_path / "nothing"),), environment(tmp_path))


def test_a_run_that_takes_too_long_is_ended_with_all_below_it(tmp_path: Path) -> None:
    mark = tmp_path / "late"
    script = f"(sleep 0.6; touch '{mark}') & wait"

    with pytest.raises(RunFailedError, match="took over"):
        launch(("bash", "-c", script), environment(tmp_path), longest_seconds=0.2)

    time.sleep(0.6)
    assert not mark.exists()


def test_busy_is_all_but_idle_waiting_and_guests() -> None:
    assert busy_of("cpu  1 2 4 1000 2000 8 16 32 4000 8000") == 63


def test_a_change_is_of_one_page_in_a_hundred_and_some_growth(tmp_path: Path) -> None:
    package = tmp_path / "app"
    make_application(package, 4 * _MIB)
    file = data_file(package)
    before, all_before = file.read_bytes(), contents(package)

    mutate(package, 1)

    after = file.read_bytes()
    pages = range(0, len(before), 4 * _KIB)
    differing = [at for at in pages if before[at : at + 4096] != after[at : at + 4096]]
    assert 8 <= len(differing) <= 10  # of 1,024; places may fall together
    assert len(after) - len(before) == len(before) >> 8
    changed = {name for name, was in all_before.items() if (package / name).read_bytes() != was}
    assert sum(name.startswith("Project/") for name in changed) == 20
    assert {"Data/data.4DD", "Data/data.4DIndx", "Data/data.journal"} < changed


def test_each_round_of_changes_is_another_and_the_same_for_every_copy(tmp_path: Path) -> None:
    for name in "abc":
        make_large_application(tmp_path / name, 128 * _KIB)

    mutate(tmp_path / "a", 1)
    mutate(tmp_path / "b", 1)
    mutate(tmp_path / "c", 2)

    first, same, other = (contents(tmp_path / name) for name in "abc")
    assert first == same
    assert first["Data/data.4DD"] != other["Data/data.4DD"]


def test_a_large_data_file_has_its_size_and_no_long_stretch_twice(tmp_path: Path) -> None:
    make_large_application(tmp_path, 3 * _MIB + 5, stretch_bytes=_MIB)

    content = data_file(tmp_path).read_bytes()
    frames = [content[at : at + 64 * _KIB] for at in range(0, 3 * _MIB, 64 * _KIB)]
    assert len(content) == 3 * _MIB + 5
    assert len(set(frames)) == len([frame for frame in frames if any(frame)]) + 1


def test_small_files_have_the_number_and_about_the_size_asked_for(tmp_path: Path) -> None:
    make_small_files(tmp_path, 250, 2_500_000)

    sizes = [file.stat().st_size for file in (tmp_path / "Project").rglob("*.4dm")]
    assert len(sizes) == 250
    assert 2_000_000 < sum(sizes) < 3_000_000


def test_settings_that_are_there_already_are_left_alone(tmp_path: Path) -> None:
    make_application(tmp_path, 64 * _KIB)
    write_settings(tmp_path, Path("/sets"), Options(segment_mib=100))
    file = tmp_path / "Settings" / "backup.4DSettings"
    os.utime(file, ns=(1, 1))

    write_settings(tmp_path, Path("/sets"), Options(segment_mib=100))
    assert file.stat().st_mtime_ns == 1
    write_settings(tmp_path, Path("/sets"), Options(check=False))
    assert "<CheckArchiveFileDuringBackup>False<" in file.read_text()


def test_a_compression_is_told_by_what_it_makes_of_whole_and_last_frames() -> None:
    seen: list[int] = []

    def half(block: memoryview) -> bytes:
        seen.append(len(block))
        return bytes(len(block) // 2)

    ratio, _ = rate_of(half, bytes(2500), 1000, 1)

    assert (ratio, seen) == (2.0, [1000, 1000, 500])


def test_facts_are_read_from_what_the_machine_says() -> None:
    assert processor("vendor_id : A\nmodel name\t: EPYC 7 \nmodel name\t: other\n") == "EPYC 7"
    assert memory("MemFree: 1 kB\n") == "unknown"
    assert memory("MemTotal:       24641536 kB\n") == "23.5 GiB"
    assert version_of("*** Zstandard CLI (64-bit) v1.5.4, by Yann Collet ***") == "1.5.4"
    assert version_of("") == "unknown"
