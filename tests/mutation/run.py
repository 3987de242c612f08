"""Whether the tests notice when arithmetic and decisions are wrong: mutants, and who survives.

    python -m tests.mutation.run [FILE ...] [--work FOLDER] [--children N]

mutmut changes one thing at a time in a copy of the tree (here nothing is touched) and runs the fast tests
that reach it; per file it is printed how many mutants were noticed, and each that was not, with its change.
Properties and sweep are left out, so that the score is the same each time. What tests compute when they are
imported (arguments of `parametrize`) is computed without the change. mutmut changes functions only, not the
tables at the top of a module. Without FILE: all of them, an hour on one core.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("settings", "engine", "scheduler", "tests")
LONGEST_RUN = 3600  # seconds

SLOT_TESTS = tuple(
    f"tests/scheduler/{name}.py"
    for name in ("test_slots", "test_slots_missed", "test_slots_trace", "test_slots_edges")
)
DECISION_TESTS = tuple(
    f"tests/scheduler/{name}.py"
    for name in (
        "test_slots_trace",
        "test_decide",
        "test_decide_changes",
        "test_decide_interrupted",
        "test_decide_owed",
        "test_decide_paused",
        "test_decide_table",
    )
)
LOG_TESTS = tuple(
    f"tests/engine/{name}.py"
    for name in ("test_logchain", "test_logchain_choices", "test_logchain_doubts", "test_logwords")
)
# of engine/logplan.py nothing is changed: it holds tables and dataclasses, which mutmut leaves alone
TESTS = {
    "scheduler/slots.py": SLOT_TESTS,
    "scheduler/wall.py": SLOT_TESTS,
    "scheduler/decide.py": DECISION_TESTS,
    "scheduler/after.py": DECISION_TESTS,
    "scheduler/due.py": ("tests/scheduler/test_due.py",),
    "engine/content.py": ("tests/engine/test_content.py",),
    "engine/sets.py": ("tests/engine/test_sets.py", "tests/engine/test_sets_exact.py"),
    "engine/logchain.py": LOG_TESTS,
    "engine/logcopies.py": LOG_TESTS,
    "engine/logwords.py": LOG_TESTS,
    "engine/opencheck.py": (
        "tests/engine/test_opencheck.py",
        "tests/engine/test_opencheck_words.py",
    ),
    "engine/compare.py": ("tests/engine/test_compare.py", "tests/engine/test_compare_exact.py"),
    "engine/frametable.py": ("tests/engine/test_frametable.py",),
    "engine/safenames.py": ("tests/engine/test_safe_names.py",),
    "engine/selection.py": ("tests/engine/test_selection.py",),
}

CONFIG = """
[tool.mutmut]
source_paths = [{copied}]
only_mutate = [{files}]
also_copy = [{copied}]
pytest_add_cli_args_test_selection = [{tests}]
pytest_add_cli_args = ["-p", "no:xdist"]
timeout_multiplier = 5.0
timeout_constant = 2.0
"""


@dataclass
class Score:
    """How the mutants of one file fared."""

    counts: Counter[str] = field(default_factory=Counter)
    unnoticed: list[str] = field(default_factory=list)

    def add(self, mutant: str, status: str) -> None:
        self.counts[status] += 1
        if status not in {"killed", "timeout"}:
            self.unnoticed.append(f"{mutant}: {status}")

    def words(self) -> str:
        total = self.counts.total()
        noticed = self.counts["killed"] + self.counts["timeout"]
        share = 100 * noticed / total if total else 0
        return (
            f"{total} mutants, {self.counts['killed']} killed, {self.counts['timeout']} timeouts,"
            f" {len(self.unnoticed)} survived, score {share:.1f} %"
        )


def copy_tree(work: Path, files: list[str]) -> None:
    for name in COPIED:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, work / name, ignore=ignore)
    names = sorted({name for file in files for name in TESTS[file]})
    config = CONFIG.format(
        copied=quoted(COPIED[:-1]),
        files=quoted(files),
        tests=quoted(names),
    )
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    (work / "pyproject.toml").write_text(pyproject + config, "utf-8")


def quoted(names: Iterator[str] | tuple[str, ...] | list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def mutmut(work: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "mutmut", *arguments]
    done = subprocess.run(
        command, cwd=work, capture_output=True, text=True, timeout=LONGEST_RUN, check=False
    )
    if done.returncode:
        raise SystemExit(
            f"mutmut {' '.join(arguments)} failed:\n{(done.stdout + done.stderr)[-5000:]}"
        )
    return done.stdout


def scores(work: Path, files: list[str]) -> dict[str, Score]:
    found = {file: Score() for file in files}
    modules = {file.removesuffix(".py").replace("/", "."): file for file in files}
    for line in mutmut(work, "results", "--all", "true").splitlines():
        mutant, _, status = line.strip().rpartition(": ")
        module = mutant.rpartition(".")[0]
        if module in modules:
            found[modules[module]].add(mutant, status)
    return found


def change(work: Path, mutant: str) -> str:
    """The lines that differ."""
    lines = mutmut(work, "show", mutant).splitlines()
    return "\n".join(
        f"    {line}" for line in lines if line[:1] in "+-" and line[:3] not in {"+++", "---"}
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help=", ".join(TESTS))
    parser.add_argument("--work", type=Path, help="an empty folder; else a temporary one")
    parser.add_argument("--children", type=int, default=1)
    chosen = parser.parse_args()
    files = chosen.files or list(TESTS)
    if unknown := set(files) - set(TESTS):
        parser.error(f"no tests are named for {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="backup4d-mutation-") as temporary:
        work = chosen.work or Path(temporary)
        copy_tree(work, files)
        mutmut(work, "run", "--max-children", str(chosen.children))
        for file, score in scores(work, files).items():
            print(f"{file}: {score.words()}")
            for line in score.unnoticed:
                print(f"  {line}\n{change(work, line.partition(':')[0])}")


if __name__ == "__main__":
    main()
