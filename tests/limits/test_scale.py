"""What is large costs what the pages say: small forms here, the whole in `pytest -m slow` and tests/limits/run.py."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.stories import App
from tests.limits.scale import (
    application,
    cost,
    long_history,
    make_deep,
    make_files,
    make_sparse,
    many_applications,
    multiply_sets,
    room,
    service_file,
)
from tests.limits.stories import whole_life
from tests.scheduler.real import service_of, wait_until

MIB_OF_A_FILE = 400 / (1 << 20)  # 400 bytes
GIB = 1 << 30


@pytest.fixture
def folder() -> Iterator[Path]:
    with room() as made:
        yield made


def attached(folder: Path) -> tuple[App, Path]:
    app = application(folder)
    return app, app.package / "Resources"


@pytest.mark.slow
def test_two_thousand_files_cost_no_more_memory_than_none(folder: Path) -> None:
    app, inside = attached(folder)
    make_files(inside, 2000)

    done = whole_life(folder, app)

    assert max(one.peak for one in done.values()) < 90


@pytest.mark.slow
def test_a_deep_tree_is_saved_restored_and_compared(folder: Path) -> None:
    app, inside = attached(folder)
    make_deep(inside, 300)

    done = whole_life(folder, app)

    assert done["restore"].cpu < 3


@pytest.mark.slow
def test_a_sparse_file_costs_its_data_alone(folder: Path) -> None:
    app, inside = attached(folder)
    make_sparse(inside / "large", GIB, 20)

    whole_life(folder, app, compare=False)
    backed = cost(
        "restore", folder, "restore", app.destination / "data[0001]", "--to", folder / "b"
    )

    assert backed.code == 0
    assert (folder / "b" / "Resources" / "large").stat().st_size == GIB
    assert (folder / "b" / "Resources" / "large").stat().st_blocks * 512 < GIB // 20


def test_hundreds_of_sets_are_listed_and_rotated(folder: Path) -> None:
    app, _ = attached(folder)
    app.configure({"Advanced/SetNumber/Enable": "False"})
    assert cost("backup", folder, "backup", app.package).code == 0
    multiply_sets(app, 300)

    assert len(cost("list", folder, "list", app.package).out.splitlines()) == 301
    app.configure({"Advanced/SetNumber/Value": "100"})
    done = cost("backup", folder, "backup", app.package)

    assert done.code == 0
    assert len(app.sets()) == 100
    assert max(app.sets()) == "data[0301]"


# --- the whole ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_million_files(folder: Path) -> None:
    app, inside = attached(folder)
    make_files(inside, 1_000_000)

    done = whole_life(folder, app)

    for what, one in done.items():
        assert one.peak < 60 + 1_000_000 * MIB_OF_A_FILE, what


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_five_thousand_folders_deep(folder: Path) -> None:
    app, inside = attached(folder)
    make_deep(inside, 5000)

    done = whole_life(folder, app)

    assert done["restore"].cpu < 120
    assert max(one.peak for one in done.values()) < 300


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_hundred_gibibytes_of_holes(folder: Path) -> None:
    app, inside = attached(folder)
    make_sparse(inside / "large", 100 * GIB, 1000)

    done = whole_life(folder, app, compare=False)

    assert max(one.peak for one in done.values()) < 150


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_million_pieces_of_data(folder: Path) -> None:
    app, inside = attached(folder)
    make_sparse(inside / "pieces", 8192 * 1_000_000, 1_000_000)

    done = whole_life(folder, app, compare=False)

    assert max(one.peak for one in done.values()) < 1000


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_sets(folder: Path) -> None:
    app, _ = attached(folder)
    app.configure({"Advanced/SetNumber/Enable": "False"})
    assert cost("backup", folder, "backup", app.package).code == 0
    multiply_sets(app, 10_000)

    done = [cost(what, folder, what, app.package) for what in ("list", "show", "status", "backup")]
    app.configure({"Advanced/SetNumber/Value": "5000"})
    done.append(cost("rotation", folder, "backup", app.package))

    assert all(one.code == 0 for one in done)
    assert max(one.peak for one in done) < 200
    assert (len(app.sets()), "data[10002]" in app.sets()) == (5000, True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_hundred_thousand_operations_in_the_history(folder: Path) -> None:
    app, _ = attached(folder)
    assert cost("backup", folder, "backup", app.package).code == 0
    long_history(app, 10_000, 100_000)

    done = [cost(what, folder, what, app.package) for what in ("list", "status", "backup")]

    assert done[2].code == 0
    assert max(one.peak for one in done) < 400
    assert "data[10001]" in app.sets()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_journal_of_four_gibibytes_is_rolled_over(folder: Path) -> None:
    app, _ = attached(folder)
    assert cost("backup", folder, "backup", app.package).code == 0
    file = app.package / "Logs" / "Backup Journal[001].txt"
    with file.open("r+b") as stream:
        stream.truncate(4 * GIB)

    done = [cost(what, folder, what, app.package) for what in ("status", "backup")]

    assert all(one.code == 0 and one.peak < 60 for one in done)
    assert (app.package / "Logs" / "Backup Journal[002].txt").stat().st_size < 10_000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_databases_are_served(folder: Path) -> None:
    file = service_file(folder, many_applications(folder, 1000))
    state = folder / "state"
    began = time.monotonic()
    with service_of(file, state) as real:
        wait_until(lambda: len(list(state.glob("*.json"))) == 1000, "not all are served", 300)
        status = Path(f"/proc/{real.process.pid}/status").read_text()
        resident = int(status.partition("VmRSS:")[2].split()[0]) / 1024
        print(f"1000 databases served after {time.monotonic() - began:.1f} s, {resident:.1f} MiB")
        asked = cost("status", folder, "status", "--json")
        assert real.stop(60) == 0

    assert resident < 120
    assert asked.out.count('"package"') >= 1000 or asked.code in {0, 1}


@pytest.mark.slow
def test_second_names_are_saved_once(folder: Path) -> None:
    app, inside = attached(folder)
    make_files(inside, 300)
    subprocess.run(["cp", "-al", inside, app.package / "Twice"], check=True)
    (app.package / "Twice").rename(inside / "Twice")

    done = whole_life(folder, app, compare=False)
    source = app.destination / "data[0001]"
    again = cost("restore", folder, "restore", source, "--to", folder / "back")

    assert (done["backup"].code, again.code) == (0, 0)
    one, other = (folder / "back" / "Resources" / name for name in ("", "Twice"))
    files = [path.relative_to(other) for path in other.rglob("*.png")]
    assert len(files) == 300
    assert all((one / file).samefile(other / file) for file in files)
