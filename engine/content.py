"""What goes into a set, and under which name: the roots of a backup. Pure.

Content follows 4D (spec 3.1): data file, its Settings folder and the log; project and its Settings folder;
attachments. Names follow 4D's restore dialog (spec 4.2): paths of the package stay, a data file that lies
elsewhere goes to Data/, an attachment that lies elsewhere keeps its whole path under External/; so does then the
package's own folder Data, or two files could share a name.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from engine.member import Role
from settings.errors import UnmappedPathError, UnusablePathError
from settings.layout import DatabaseLayout
from settings.model import Content, SettingsPath
from settings.paths import PathMap, resolve_path

# 4D lists these as attachments by default and counts a backup without them as done; 4D rebuilds them
REBUILT_BY_4D = (".4dindx", ".4dsyncdata", ".4dsyncheader")
_PACKED_STRUCTURES = (".4dz", ".4dc")


@dataclass(frozen=True, slots=True)
class Root:
    """One file or folder to save with all below it; `path` is its name in the archive."""

    source: Path
    path: bytes
    role: Role


@dataclass(frozen=True, slots=True)
class Attachment:
    """One entry of IncludesFiles: where it is, or why nobody can tell; `optional` when 4D rebuilds it."""

    listed: str
    root: Root | None
    optional: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """Everything a backup is asked to save. `log` is None when the data is not included."""

    required: tuple[Root, ...]
    wanted: tuple[Root, ...]
    attachments: tuple[Attachment, ...]
    log: Path | None


def archive_path(source: Path, layout: DatabaseLayout) -> bytes:
    """The name of a file in the archive; equal sources have equal names, different ones different."""
    data_folder = layout.data_file.parent
    if source.is_relative_to(layout.package):
        if not is_shadowed(source, layout):
            relative = source.relative_to(layout.package)
            return os.fsencode(relative) if relative.parts else b"."
        return b"External" + os.fsencode(source)
    if source.is_relative_to(data_folder):
        return b"/".join((b"Data", os.fsencode(source.relative_to(data_folder)))).removesuffix(
            b"/."
        )
    return b"External" + os.fsencode(source)


def is_shadowed(source: Path, layout: DatabaseLayout) -> bool:
    """Whether it lies in the package where, in the set, the folder of a data file has its place that lies elsewhere."""
    is_elsewhere = not layout.data_file.is_relative_to(layout.package)
    return is_elsewhere and source.is_relative_to(layout.package / "Data")


def select_content(layout: DatabaseLayout, content: Content, path_map: PathMap) -> Selection:
    """The roots that the settings ask for, in the order they are read: data first, closest together."""
    required: list[Root] = []
    wanted: list[Root] = []
    log = None
    if content.data:
        required.append(_root(layout.data_file, Role.DATA, layout))
        wanted.append(_root(layout.data_file.parent / "Settings", Role.DATA, layout))
        log = layout.log
    if content.structure:
        required += _structure_roots(layout)
        wanted += _structure_settings(layout)
    if content.user_structure and layout.structure is not None:
        wanted.append(_root(layout.structure.with_suffix(".4DA"), Role.STRUCTURE, layout))
    attachments = tuple(_attachment(path, layout, path_map) for path in content.attachments)
    return Selection(tuple(required), tuple(wanted), attachments, log)


def without_nested(roots: tuple[Root, ...]) -> tuple[Root, ...]:
    """The roots without those that lie inside an earlier one (a folder is saved once)."""
    kept: list[Root] = []
    for root in roots:
        if not any(_inside(root, other) for other in kept):
            kept.append(root)
    return tuple(kept)


def _inside(root: Root, other: Root) -> bool:
    if other.path == b".":  # the package: what has another name in the set is not in it
        inner = other.source / os.fsdecode(root.path)
        return root.source.is_relative_to(other.source) and root.source == inner
    return root.path == other.path or root.path.startswith(other.path + b"/")


def _root(source: Path, role: Role, layout: DatabaseLayout) -> Root:
    return Root(source, archive_path(source, layout), role)


def _structure_roots(layout: DatabaseLayout) -> list[Root]:
    structure = layout.structure
    if structure is None:
        return []
    if structure.suffix.lower() == ".4dproject":
        return [_root(structure.parent, Role.STRUCTURE, layout)]
    return [_root(structure, Role.STRUCTURE, layout)]


def _structure_settings(layout: DatabaseLayout) -> list[Root]:
    settings = [_root(layout.package / "Settings", Role.STRUCTURE, layout)]
    structure = layout.structure
    is_binary = structure is not None and structure.suffix.lower() not in (
        ".4dproject",
        *_PACKED_STRUCTURES,
    )
    if is_binary:
        settings.append(_root(layout.package / "Preferences", Role.STRUCTURE, layout))
    return settings


def _attachment(path: SettingsPath, layout: DatabaseLayout, path_map: PathMap) -> Attachment:
    optional = path.raw.lower().endswith(REBUILT_BY_4D)
    try:
        source = resolve_path(path, layout.package, path_map)
    except (UnmappedPathError, UnusablePathError) as error:
        return Attachment(path.raw, None, optional, str(error))
    return Attachment(path.raw, _root(source, Role.ATTACHMENT, layout), optional)
