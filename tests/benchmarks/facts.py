"""What a measurement was made on: processor, memory, file system, kernel, versions of the programs."""

import os
import platform
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PROGRAMS = {
    "tar": ("tar", "--version"),
    "zstd": ("zstd", "--version"),
    "restic": ("restic", "version"),
    "borg": ("borg", "--version"),
    "par2": ("par2", "--version"),
}
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_MODEL = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)
_TOTAL = re.compile(r"^MemTotal:\s+(\d+) kB", re.MULTILINE)
_SYSTEM = re.compile(r'^PRETTY_NAME="?([^"\n]+)', re.MULTILINE)


def machine_facts(folder: Path) -> dict[str, str]:
    """In words, for the head of a table; `folder` is where sets go."""
    facts = {
        "processor": processor(_read("/proc/cpuinfo")),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": memory(_read("/proc/meminfo")),
        "file system": file_system(folder),
        "kernel": f"{platform.system()} {platform.release()}",
        "system": _found(_SYSTEM, _read("/etc/os-release")),
        "python": platform.python_version(),
    }
    for package in ("backup4d", "backports.zstd", "blake3"):
        facts[package] = _installed(package)
    for name, command in _PROGRAMS.items():
        facts[name] = _program(command)
    return facts


def processor(text: str) -> str:
    """The model of the first one in /proc/cpuinfo; other architectures do not name it."""
    found = _MODEL.search(text)
    return found.group(1).strip() if found else platform.machine()


def memory(text: str) -> str:
    """From /proc/meminfo."""
    found = _TOTAL.search(text)
    return f"{int(found.group(1)) / (1 << 20):.1f} GiB" if found else "unknown"


def file_system(folder: Path) -> str:
    """Its kind and options: of the mount point nearest above."""
    command = ["findmnt", "-no", "FSTYPE,SOURCE,OPTIONS", "-T", str(folder)]
    return " ".join(_output(command).split()) or "unknown"


def version_of(output: str) -> str:
    """The first number with a point in what a program says of itself."""
    found = _VERSION.search(output)
    return found.group() if found else "unknown"


def load() -> str:
    """The load averages now."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def _program(command: tuple[str, ...]) -> str:
    return version_of(_output(command)) if shutil.which(command[0]) else "not installed"


def _output(command: tuple[str, ...] | list[str]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    return done.stdout or done.stderr


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "in the standard library" if sys.version_info >= (3, 14) else "not installed"


def _read(name: str) -> str:
    try:
        return Path(name).read_text(errors="replace")
    except OSError:
        return ""


def _found(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found.group(1) if found else "unknown"
