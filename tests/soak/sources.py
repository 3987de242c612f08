"""The files of an application that lives: changed in every way a program does, each state remembered by its digest."""

import hashlib
import random
from pathlib import Path

_PARTS = {
    "Data/data.4DD": 1.0,
    "Data/data.4DIndx": 0.05,
    "Data/data.journal": 0.1,
    "Attached/notes.txt": 0.01,
    "Project/Sources/Methods/hello.4dm": 0.001,
}


class Sources:
    """One application's files, and the digests of all states they ever had."""

    def __init__(self, package: Path, chance: random.Random, size: int) -> None:
        self.package = package
        self._chance = chance
        self._size = size
        self._count = 0
        self.known: dict[str, set[str]] = {name: set() for name in _PARTS}
        (package / "Attached").mkdir()
        for name in _PARTS:
            self._rewrite(package / name, name)

    def live(self) -> None:
        """Some of the files change: replaced, written over in place, or appended to."""
        for name in self._chance.sample(sorted(_PARTS), self._chance.randint(1, 3)):
            file = self.package / name
            if not file.is_file():
                continue
            match self._chance.randrange(3):
                case 0:
                    self._rewrite(file, name)
                case 1:
                    self._overwrite(file, name)
                case _:
                    self._append(file, name)

    def _content(self, name: str) -> bytes:
        self._count += 1
        size = max(40, int(self._size * _PARTS[name] * self._chance.uniform(0.7, 1.0)))
        mark = f"state {self._count:08} of {name}\n".encode()
        # half noise, half text: it neither vanishes when it is compressed nor stays as it is
        noise = self._chance.randbytes(min(size, 1 << 16))
        return b"".join(mark + noise for _ in range(size // len(mark + noise) + 1))[:size]

    def _remember(self, name: str, content: bytes) -> None:
        self.known[name].add(hashlib.sha256(content).hexdigest())

    def _rewrite(self, file: Path, name: str) -> None:
        """Another file in its place."""
        content = self._content(name)
        self._remember(name, content)
        beside = file.with_name(f"{file.name}~")
        beside.write_bytes(content)
        beside.replace(file)

    def _overwrite(self, file: Path, name: str) -> None:
        """The same file, written over in pieces; a copy made meanwhile is of no state and must not be kept."""
        before = file.read_bytes()
        content = self._content(name)[: len(before)]
        content += before[len(content) :]
        self._remember(name, content)
        with file.open("r+b", buffering=0) as stream:
            step = max(1, len(content) // 3)
            for at in range(0, len(content), step):
                stream.write(content[at : at + step])

    def _append(self, file: Path, name: str) -> None:
        before = file.read_bytes()
        if len(before) > 2 * self._size * _PARTS[name] + 4000:
            self._rewrite(file, name)
            return
        more = self._content(name)[: max(10, len(before) // 10)]
        self._remember(name, before + more)
        with file.open("ab", buffering=0) as stream:
            stream.write(more)

    def strangers(self, restored: Path) -> list[str]:
        """The files of a restored set that are of no state these files ever had."""
        found = []
        for name, known in self.known.items():
            file = restored / name
            if not file.is_file():
                continue
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            if digest not in known:
                found.append(name)
        return found
