"""The members of a set as a tree: sorted, each folder with the sum of what is below it. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter

from engine.compare import in_tree_order
from engine.member import Kind, Member, Role


@dataclass(frozen=True, slots=True)
class Branch:
    """One line of the tree. `size` of a folder is that of all files below it, `files` their number, else 0.

    `role` is None where the folder above has the same, and for a folder that holds several roles or none.
    """

    depth: int
    name: bytes
    kind: Kind
    size: int
    files: int
    role: Role | None
    link: bytes | None


class _Sum:
    """What is below one folder."""

    __slots__ = ("files", "roles", "size")

    def __init__(self) -> None:
        self.size = 0
        self.files = 0
        self.roles: tuple[Role, ...] = ()

    def add(self, size: int, files: int, role: Role) -> None:
        self.size += size
        self.files += files
        if role not in self.roles:
            self.roles = (*self.roles, role)

    @property
    def role(self) -> Role | None:
        return self.roles[0] if len(self.roles) == 1 else None


# key for the order, kind, size, role, link: a million of them are held
_Row = tuple[bytes, Kind, int, Role, bytes | None]


def tree_of(members: Iterable[Member]) -> Iterator[Branch]:
    """The whole tree, parents first; a folder that only leads to members is a folder of it, too.

    A hard link counts as a file without size: its content stands at the name it is a link to.
    """
    rows: list[_Row] = []
    sums: dict[bytes, _Sum] = {}
    for member in members:
        key = in_tree_order(member.path)
        if member.kind is Kind.FOLDER:
            sums.setdefault(key, _Sum())
        else:
            rows.append((key, member.kind, member.size, member.role, member.link))
        _add_up(member, key, sums)
    rows += [(key, Kind.FOLDER, 0, Role.ATTACHMENT, None) for key in sums]
    rows.sort(key=itemgetter(0))
    for row in rows:
        yield _branch(row, sums)


def _add_up(member: Member, key: bytes, sums: dict[bytes, _Sum]) -> None:
    if member.kind is Kind.FOLDER:
        return
    files = 0 if member.kind is Kind.SYMLINK else 1
    above = key.rpartition(b"\0")[0]
    while above:
        if above not in sums:
            sums[above] = _Sum()
        sums[above].add(member.size, files, member.role)
        above = above.rpartition(b"\0")[0]


def _branch(row: _Row, sums: dict[bytes, _Sum]) -> Branch:
    key, kind, size, role, link = row
    above, _, name = key.rpartition(b"\0")
    depth = key.count(b"\0")
    shown: Role | None = role
    files = 0
    if kind is Kind.FOLDER:
        size, files, shown = sums[key].size, sums[key].files, sums[key].role
    if above and sums[above].role is shown:
        shown = None
    return Branch(depth, name, kind, size, files, shown, link)
