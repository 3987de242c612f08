"""Where the parts of one database are; a value, found by settings.locate."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DatabaseLayout:
    """One database on this machine.

    `structure` is None when the package holds none. `data_file` and `log` are where they are expected and
    may not exist. `considered` names every settings file looked at and why it was taken or not.
    """

    package: Path
    structure: Path | None
    data_file: Path
    log: Path
    settings_file: Path
    considered: tuple[tuple[Path, str], ...]
    notes: tuple[str, ...]

    @property
    def key(self) -> str:
        """The database's name in backupHistory.json: the path of the structure, else of the package."""
        return str(self.structure or self.package)
