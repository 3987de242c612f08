"""Archive files encrypted with the real age: decrypted whole or not at all, and every refusal named."""

import base64
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.errors import (
    DamagedError,
    EngineError,
    MissingSetError,
    NoRoomError,
    NotPermittedError,
    RestoreError,
    StoppedError,
)
from engine.progress import Progress, Report, silent
from engine.sealed import open_sealed
from engine.stop import StopRequest
from tests.engine.elsewhere import as_ordinary_user, on_a_small_disk
from tests.engine.stories import judge, patterned

pytestmark = pytest.mark.skipif(
    shutil.which("age") is None or shutil.which("age-keygen") is None,
    reason="age is not on this machine",
)
NAME = "data[0007].tar.zst"
CONTENT = patterned(300_000)


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted file, the key for it, another key, and an empty folder."""

    file: Path
    key: Path
    other: Path
    into: Path

    def open(
        self,
        key: Path | None = None,
        *,
        stop: StopRequest | None = None,
        report: Report = silent,
    ) -> Path:
        return open_sealed(
            self.file, key or self.key, self.into, stop=stop or StopRequest(), report=report
        )

    def refused(self, why: type[EngineError], key: Path | None = None) -> str:
        """The sentence and the hint; nothing is left in the folder."""
        with pytest.raises(why) as told:
            self.open(key)
        assert list(self.into.iterdir()) == []
        return f"{told.value}\n{told.value.hint}"


def seal(folder: Path, content: bytes = CONTENT, *options: str) -> Sealed:
    plain = folder / NAME
    plain.write_bytes(content)
    for key in ("key", "other"):
        judge("age-keygen", "-o", folder / key)
    recipient = judge("age-keygen", "-y", folder / "key").decode().strip()
    judge("age", *options, "-r", recipient, "-o", folder / f"{NAME}.age", plain)
    plain.unlink()
    (folder / "into").mkdir()
    return Sealed(folder / f"{NAME}.age", folder / "key", folder / "other", folder / "into")


@pytest.fixture
def sealed(tmp_path: Path) -> Sealed:
    return seal(tmp_path)


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 300_000])
def test_what_was_encrypted_comes_back(size: int, tmp_path: Path) -> None:
    sealed = seal(tmp_path, CONTENT[:size])

    opened = sealed.open()

    assert opened == sealed.into / NAME
    assert opened.read_bytes() == CONTENT[:size]
    assert opened.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in sealed.into.iterdir()] == [NAME]


def test_armor_is_opened_too(tmp_path: Path) -> None:
    assert seal(tmp_path, CONTENT, "--armor").open().read_bytes() == CONTENT


def test_progress_is_told_in_bytes(sealed: Sealed) -> None:
    told: list[Progress] = []

    sealed.open(report=told.append)

    assert {one.phase for one in told} == {f"decrypting {NAME}.age"}
    assert told[-1].done == len(CONTENT)


def test_another_key_is_named(sealed: Sealed) -> None:
    told = sealed.refused(EngineError, sealed.other)

    assert f"{sealed.file} cannot be opened with the identity {sealed.other}" in told


def test_no_identity_is_told(sealed: Sealed) -> None:
    with pytest.raises(EngineError, match="no identity was named"):
        open_sealed(sealed.file, None, sealed.into, stop=StopRequest(), report=silent)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda _: None, "cannot be read: No such file"),
        (lambda file: file.mkdir(), "cannot be read"),
        (os.mkfifo, "cannot be read"),
        (lambda file: file.write_text("garbage"), "cannot be used"),
        (lambda file: file.write_text(""), "cannot be used"),
    ],
    ids=["absent", "folder", "fifo", "garbage", "empty"],
)
def test_an_identity_that_is_none_is_named(
    make: Callable[[Path], object], why: str, sealed: Sealed, tmp_path: Path
) -> None:
    key = tmp_path / "bad"
    make(key)

    assert f"the identity {key} {why}" in sealed.refused(EngineError, key)


@pytest.mark.parametrize("share", [0.001, 0.2, 0.5, 0.99, 0.99999])
def test_a_truncated_file_is_damaged_and_leaves_nothing(share: float, sealed: Sealed) -> None:
    with sealed.file.open("r+b") as stream:
        stream.truncate(max(40, int(sealed.file.stat().st_size * share)))

    assert f"{sealed.file} is" in sealed.refused(DamagedError)


@pytest.mark.parametrize("at", [3, 150, 205, 70_000, 299_999])
def test_one_other_byte_is_damage_and_leaves_nothing(at: int, sealed: Sealed) -> None:
    content = bytearray(sealed.file.read_bytes())
    content[at] ^= 1
    sealed.file.write_bytes(content)

    assert str(sealed.file) in sealed.refused(DamagedError)


def test_a_byte_of_the_key_part_is_a_wrong_key_or_damage(sealed: Sealed) -> None:
    content = bytearray(sealed.file.read_bytes())
    content[50] = ord("B" if content[50] == ord("A") else "A")  # base64 in any case
    sealed.file.write_bytes(content)

    assert "if it is this one, the file is damaged" in sealed.refused(EngineError)


def test_more_at_the_end_is_damage(sealed: Sealed) -> None:
    with sealed.file.open("ab") as stream:
        stream.write(b"more")

    sealed.refused(DamagedError)


def test_a_file_that_is_not_there_is_named(sealed: Sealed) -> None:
    sealed.file.unlink()

    assert f"{sealed.file} cannot be opened" in sealed.refused(MissingSetError)


@pytest.mark.parametrize("armored", [False, True])
def test_a_passphrase_is_refused_in_words(armored: bool, sealed: Sealed) -> None:
    content = b"age-encryption.org/v1\n-> scrypt c2FsdA 18\nbody\n--- mac\nbytes"
    if armored:
        lines = base64.b64encode(content)
        content = b"-----BEGIN AGE ENCRYPTED FILE-----\n%s\n" % lines
    sealed.file.write_bytes(content)

    assert "encrypted with a passphrase, which nobody can type here" in sealed.refused(EngineError)


def test_what_is_there_already_is_not_replaced(sealed: Sealed) -> None:
    (sealed.into / NAME).write_bytes(b"mine")

    with pytest.raises(RestoreError, match="exists already"):
        sealed.open()

    assert (sealed.into / NAME).read_bytes() == b"mine"


def test_a_stop_leaves_nothing(sealed: Sealed) -> None:
    stop = StopRequest()

    with pytest.raises(StoppedError):
        sealed.open(stop=stop, report=lambda _: stop.ask())

    assert list(sealed.into.iterdir()) == []


def test_age_that_is_not_installed_is_named(
    sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    assert "apt install age" in sealed.refused(EngineError)


def full_story(folder: Path) -> dict[str, Any]:
    sealed = seal(folder)
    sealed = Sealed(sealed.file, sealed.key, sealed.other, folder / "disk")
    try:
        sealed.open()
    except NoRoomError as error:
        return {"told": str(error), "left": [file.name for file in (folder / "disk").iterdir()]}
    return {}


def test_no_room_is_told_and_leaves_nothing() -> None:
    seen = on_a_small_disk(full_story, "128k")

    assert "while decrypting data[0007].tar.zst.age" in seen["told"]
    assert seen["left"] == []


def closed_story(folder: Path) -> dict[str, Any]:
    sealed = seal(folder)
    seen = {}
    for name, file, why in (
        ("file", sealed.file, NotPermittedError),
        ("key", sealed.key, EngineError),
    ):
        mode = file.stat().st_mode
        file.chmod(0)
        try:
            sealed.open()
        except why as error:
            seen[name] = str(error)
        file.chmod(mode)
    return seen


def test_files_this_user_may_not_read_are_named() -> None:
    seen = as_ordinary_user(closed_story)

    assert "may not be read by this user" in seen["file"]
    assert "cannot be read: Permission denied" in seen["key"]


def test_it_is_age_that_authenticates(sealed: Sealed) -> None:
    """What this relies on: age itself writes the chunks before a damaged one and then fails."""
    content = bytearray(sealed.file.read_bytes())
    content[200_000] ^= 1
    sealed.file.write_bytes(content)

    done = subprocess.run(
        ["age", "-d", "-i", sealed.key, sealed.file], capture_output=True, check=False
    )

    assert done.returncode == 1
    assert CONTENT.startswith(done.stdout)
