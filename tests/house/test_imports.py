"""The architecture of docs/design.md, checked by machine: who may import whom."""

import ast
import sys
from importlib.metadata import packages_distributions

import pytest

from tests.house.source import PACKAGES, Module, closure, imported, module, modules, tops

BELOW = {
    "settings": {"settings"},
    "engine": {"settings", "engine"},
    "scheduler": {"settings", "engine", "scheduler"},
}
# What only one module may import, so that it can be replaced, faked and measured in one place.
ONLY_IN = {
    "apscheduler": {"scheduler.timer"},
    "watchdog": {"scheduler.watch"},
    "tzlocal": {"scheduler.environment"},
    "croniter": {"scheduler.cron"},
    "wasmtime": {"engine.fourd.compiled"},
}
# Decisions: the same answer for the same values, without a disk, a clock, a thread or a process.
PURE = (
    "settings.model",
    "settings.paths",
    "settings.explain",
    "settings.layout",
    "settings.errors",
    "settings.values",
    "engine.errors",
    "engine.progress",
    "engine.version",
    "scheduler.slots",
    "scheduler.wall",
    "scheduler.known",
    "scheduler.decide",
    "scheduler.after",
    "scheduler.outcomes",
)
# Pure in what they do; `os` stands there for os.fsdecode and os.fsencode only, see the test below.
TEXT_ONLY_OS = ("engine.tarstream", "engine.report")
EFFECTS = {
    "os",
    "io",
    "sys",
    "subprocess",
    "threading",
    "multiprocessing",
    "socket",
    "signal",
    "shutil",
    "tempfile",
    "time",
    "fcntl",
    "ctypes",
    "logging",
    "random",
}


def label(one: Module) -> str:
    return one.name


@pytest.mark.parametrize("one", modules(), ids=label)
def test_imports_go_one_way(one: Module) -> None:
    ours = tops(one) & set(PACKAGES)

    assert ours <= BELOW[one.package]


@pytest.mark.parametrize("one", modules(), ids=label)
def test_imports_are_absolute_and_stand_at_the_top(one: Module) -> None:
    below = [
        node.lineno
        for statement in one.tree.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]

    assert below == []
    assert not [name for name in imported(one.tree) if name.startswith(".")]


def test_settings_needs_lxml_and_the_standard_library_only() -> None:
    allowed = {"settings", "lxml", *sys.stdlib_module_names}

    others = {one.name: tops(one) - allowed for one in modules() if one.package == "settings"}

    assert {name: found for name, found in others.items() if found} == {}


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_imported_where_it_is_wrapped_and_nowhere_else(library: str) -> None:
    importers = {one.name for one in modules() if library in tops(one)}

    assert importers <= ONLY_IN[library]


@pytest.mark.parametrize("name", PURE)
def test_a_decision_has_no_way_to_the_disk_the_clock_or_a_process(name: str) -> None:
    assert tops(module(name)) & EFFECTS == set()
    assert "engine.host" not in closure(name)
    assert not [one for one in closure(name) if one.endswith((".files", ".source", ".lock"))]


@pytest.mark.parametrize("name", ["scheduler.decide", "scheduler.after", "scheduler.known"])
def test_scheduling_is_decided_without_the_engine(name: str) -> None:
    assert not [one for one in closure(name) if one.startswith("engine")]


@pytest.mark.parametrize("name", TEXT_ONLY_OS)
def test_what_makes_bytes_and_words_uses_os_for_names_only(name: str) -> None:
    one = module(name)
    used = {
        node.attr
        for node in ast.walk(one.tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }

    assert tops(one) & EFFECTS <= {"os"}
    assert used <= {"fsdecode", "fsencode"}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_owns_the_name(package: str) -> None:
    owners = set(packages_distributions().get(package, []))

    assert owners <= {"backup4d"}


def test_there_is_no_cycle() -> None:
    names = {one.name for one in modules()}
    edges = {
        one.name: {
            known
            for target in imported(one.tree)
            for known in (target, target.rpartition(".")[0])
            if known in names and known not in {one.name, *PACKAGES}
        }
        for one in modules()
    }

    while free := {name for name, needed in edges.items() if not needed & edges.keys()}:
        edges = {name: needed for name, needed in edges.items() if name not in free}

    assert edges == {}
