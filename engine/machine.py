"""Which machine this is, and whether a set was made on another one whose application has the same path."""

import hashlib
import socket
from collections.abc import Iterable
from pathlib import Path

_IDENTITY = Path("/etc/machine-id")
_UNKNOWN = "-"


def this_machine() -> str:
    """`name mark`: the name is for people, the mark stays when a machine is renamed; `-` where it has none."""
    try:
        identity = _IDENTITY.read_bytes().strip()
    except OSError:
        identity = b""
    # not the identity itself: machine-id(5) wants it kept to the machine
    mark = hashlib.sha256(b"backup4d " + identity).hexdigest()[:16] if identity else _UNKNOWN
    return f"{host_name()} {mark}"


def host_name() -> str:
    """The name this machine gives itself."""
    return socket.gethostname()[:64]


def mark_of(machine: str) -> str | None:
    """What tells it from others; None when nothing does."""
    mark = machine.rpartition(" ")[2]
    return None if mark in ("", _UNKNOWN) else mark


def name_of(machine: str) -> str:
    """What people call it."""
    return machine.rpartition(" ")[0]


def is_another(machine: str, marks: Iterable[str | None]) -> bool:
    """Whether it is certainly none of the machines with these marks."""
    mark, known = mark_of(machine), set(marks)
    return mark is not None and None not in known and mark not in known


def writer_tag(package: Path) -> str:
    """Eight hex digits for one copy of an application on one machine."""
    # name and mark: cloned machines often have one mark, and containers none
    text = f"{this_machine()} {package}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
