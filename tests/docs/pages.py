"""What the tests of the pages share: the pages and their code blocks, a small application, the command line as a user has it."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

HOUSE = Path(__file__).parents[2]
DOCS = HOUSE / "docs"
_BLOCK = re.compile(r"^```([\w ]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SETTINGS = """<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<Preferences4D xmlns="http://www.4d.com/namespace/reserved/2004/backup"><Backup><Settings>
<Advanced>
<CompressionRate>{compression}</CompressionRate>
<FileSegmentation><DefaultSize>{segment}</DefaultSize></FileSegmentation>
</Advanced>
<General>
<DestinationFolder>{destination}/</DestinationFolder>
<IncludesFiles><ItemsCount>2</ItemsCount>
<Item1>./Resources/</Item1><Item2>{outside}/</Item2>
</IncludesFiles>
</General>
</Settings></Backup></Preferences4D>
"""


def page(name: str) -> str:
    """The text of one page of docs/."""
    return (DOCS / name).read_text("utf-8")


def blocks(name: str, language: str = "") -> list[str]:
    """The code blocks of a page that are marked with this language."""
    return [text for marked, text in _BLOCK.findall(page(name)) if marked == language]


def noise(size: int, seed: str) -> bytes:
    """Bytes that do not compress and differ from block to block."""
    return hashlib.shake_256(seed.encode()).digest(size)


def make_application(folder: Path, *, compression: str = "Fast", segment: int = 0) -> Path:
    """An application with everything a set can hold: holes, links, odd names, odd times, an attachment outside."""
    package, outside = folder / "Invoices", folder / "letters"
    contents = {
        package / "Project" / "Invoices.4DProject": b"{}\n",
        package / "Data" / "data.4DD": noise(2_600_000, "data"),
        package / "Data" / "data.journal": noise(1_300_000, "log"),
        package / "Data" / "Settings" / "directory.json": b"[]\n",
        package / "Resources" / "strings.json": b"{}\n",
        package / "Resources" / "empty file": b"",
        package / "Resources" / os.fsdecode(b"caf\xe9\nname"): b"odd",
        package / "Resources" / ("long " * 30) / ("name " * 30): b"deep",
        outside / "a.txt": b"Dear\n",
    }
    for file, content in contents.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    resources = package / "Resources"
    (resources / "empty folder").mkdir(mode=0o700)
    (resources / "link").symlink_to("strings.json")
    (resources / "same.json").hardlink_to(resources / "strings.json")
    for name, data_at in {"hole before": 5 << 20, "hole behind": 0}.items():
        with (resources / name).open("wb") as stream:
            stream.truncate((6 << 20) + 5)
            stream.seek(data_at)
            stream.write(b"data")
    os.utime(resources / "empty file", ns=(-1, -1))
    (package / "Data" / "data.4DD").chmod(0o640)
    (folder / "backups").mkdir()
    settings = package / "Settings" / "backup.4DSettings"
    settings.parent.mkdir()
    settings.write_text(
        _SETTINGS.format(
            compression=compression,
            segment=segment,
            destination=folder / "backups",
            outside=outside,
        )
    )
    return package


def backup4d(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own; its state goes to `folder`."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "scheduler"),
            *("--state-folder", folder / "state"),
            *(str(argument) for argument in arguments),
        ],
        cwd=HOUSE,
        capture_output=True,
        text=True,
        check=False,
    )


def make_set(folder: Path, *, compression: str = "Fast", segment: int = 0) -> tuple[Path, Path]:
    """An application and the first set of it: (application, set)."""
    package = make_application(folder, compression=compression, segment=segment)
    done = backup4d("backup", package, folder=folder)
    assert done.returncode == 0, done.stderr
    return package, folder / "backups" / "data[0001]"
