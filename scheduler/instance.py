"""The name of a database as an instance of `backup4d@.service`, and back: systemd's escaping of paths.

The rules are those of `systemd-escape --path` (systemd.unit(5)), so that an administrator's own command
gives the same name. The disk is never looked at.
"""

import os
import re
import string
from pathlib import Path

TEMPLATE = "backup4d@.service"
# held by a running service, in its state folder
SERVICE_LOCK = "service.lock"
_PLAIN = frozenset((string.ascii_letters + string.digits + ":_.").encode("ascii"))
_ESCAPED = re.compile(rb"\\x([0-9a-fA-F]{2})")


def instance_name(package: Path) -> str:
    """The instance that serves this package: `/srv/4d/My-App` is `srv-4d-My\\x2dApp`.

    Raises ValueError for a path that is not absolute or climbs with `..`.
    """
    if not package.is_absolute() or ".." in package.parts:
        raise ValueError(f"a full path without '..' is needed: {package}")
    names = os.fsencode(package).strip(b"/").split(b"/")
    escaped = "-".join(_escape(name) for name in names)
    if escaped.startswith("."):  # a name in a folder must not be hidden, nor `.`
        escaped = rf"\x2e{escaped[1:]}"
    return escaped or "-"


def instance_package(name: str) -> Path:
    """The package that an instance serves. Raises ValueError for a name that none can have."""
    text = "/" if name == "-" else "/" + name.replace("-", "/")
    package = Path(os.fsdecode(_ESCAPED.sub(_byte, text.encode("utf-8", "surrogateescape"))))
    if instance_name(package) != name:
        raise ValueError(f"{name} is not how systemd writes a path")
    return package


def instance_unit(package: Path) -> str:
    """The unit that serves this package alone. Raises ValueError as `instance_name`."""
    return TEMPLATE.replace("@", f"@{instance_name(package)}")


def instance_folder(folder: Path, package: Path) -> Path:
    """This instance's own folder, beside the state or runtime folder of the service for all.

    Beside and not inside: systemd gives a folder to the service's user with all that is in it, and takes it
    away with all that is in it. Raises ValueError as `instance_name`.
    """
    return folder.with_name(f"{folder.name}-{instance_name(package)}")


def _escape(name: bytes) -> str:
    return "".join(chr(byte) if byte in _PLAIN else f"\\x{byte:02x}" for byte in name)


def _byte(found: re.Match[bytes]) -> bytes:
    return bytes((int(found[1], 16),))
