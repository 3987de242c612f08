"""The project's own source, parsed: what each module imports and calls."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("settings", "engine", "scheduler")
# put beside the sets as it is; no part of the program, and nothing imports it
SHIPPED = ROOT / "engine" / "standalone"


@dataclass(frozen=True, slots=True)
class Module:
    """One source file: its dotted name, its text, its tree."""

    name: str
    file: Path
    text: str
    tree: ast.Module

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the three packages."""
    found = []
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            if file.is_relative_to(SHIPPED):
                continue
            parts = file.relative_to(ROOT).with_suffix("").parts
            text = file.read_text("utf-8")
            name = ".".join(part for part in parts if part != "__init__")
            found.append(Module(name, file, text, ast.parse(text)))
    return tuple(found)


def module(name: str) -> Module:
    return next(one for one in modules() if one.name == name)


def imported(tree: ast.AST) -> Iterator[str]:
    """The dotted names that import statements below `tree` name: `a.b` for both `import a.b` and `from a import b`."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=source, names=names, level=level):
                yield from (f"{'.' * level}{source or ''}.{alias.name}" for alias in names)
            case _:
                pass


def tops(one: Module) -> set[str]:
    """The top-level packages a module imports."""
    return {name.partition(".")[0] for name in imported(one.tree)}


def closure(name: str) -> set[str]:
    """The modules of the project that importing this one loads, itself included."""
    names = {one.name for one in modules()}
    seen: set[str] = set()
    ahead = [name]
    while ahead:
        now = ahead.pop()
        if now in seen:
            continue
        seen.add(now)
        for target in imported(module(now).tree):
            ahead += [known for known in (target, target.rpartition(".")[0]) if known in names]
    return seen


def used_names(one: Module) -> Iterator[tuple[str, int]]:
    """Every dotted name used, with imported names written out in full, and its line."""
    aliases = _aliases(one.tree)
    for node in ast.walk(one.tree):
        if isinstance(node, ast.Name | ast.Attribute) and (dotted := _dotted(node)):
            head, dot, rest = dotted.partition(".")
            if head in aliases:
                yield aliases[head] + dot + rest, node.lineno


def _aliases(tree: ast.Module) -> dict[str, str]:
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    top = alias.name.partition(".")[0]
                    aliases[alias.asname or top] = alias.name if alias.asname else top
            case ast.ImportFrom(module=source, names=names):
                for alias in names:
                    aliases[alias.asname or alias.name] = f"{source}.{alias.name}"
            case _:
                pass
    return aliases


def called_names(one: Module) -> Iterator[tuple[str, int]]:
    """The same for what is called, wherever the call stands."""
    calls = {
        (node.func.lineno, node.func.col_offset, _dotted(node.func))
        for node in ast.walk(one.tree)
        if isinstance(node, ast.Call) and _dotted(node.func)
    }
    lines = {(line, dotted.rpartition(".")[2]) for line, _, dotted in calls if dotted}
    for name, line in used_names(one):
        if (line, name.rpartition(".")[2]) in lines:
            yield name, line


def _dotted(node: ast.expr) -> str | None:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            before = _dotted(value)
            return None if before is None else f"{before}.{attr}"
        case _:
            return None
