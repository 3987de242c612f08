"""An archive file that was encrypted with age for an off-site copy, decrypted into a folder; whole or not at all."""

import os
from pathlib import Path

from engine.errors import (
    Code,
    DamagedError,
    EngineError,
    MissingSetError,
    NotPermittedError,
    RestoreError,
)
from engine.files import destination_failure, open_regular, read_regular, replacing
from engine.progress import Progress, Report
from engine.stop import StopRequest
from engine.tool import Ended, find_tool, run_tool

SUFFIX = ".age"
_HEADER_LIMIT = 1 << 16
_IDENTITY_LIMIT = 1 << 20
_BINARY, _ARMOR, _SCRYPT = b"age-encryption.org/v1\n", b"-----BEGIN AGE ENC", b"\n-> scrypt "
_ARMOR_OF_SCRYPT = b"YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdC"
_OF_DAMAGE = ("payload", "header", "MAC", "EOF", "armor", "base64", "trailing", "chunk")


def open_sealed(
    file: Path, identity: Path | None, into: Path, *, stop: StopRequest, report: Report
) -> Path:
    """Decrypt `file` with the secret keys in `identity` to `into`, under its name without `.age`.

    The new file is for its owner only, appears by one rename, and is durable then. Nothing that age did not
    authenticate is ever written, and after a failure nothing remains. Raises MissingSetError,
    NotPermittedError, DamagedError, EngineError (no or wrong identity, no age), RestoreError when it is
    there already, NoRoomError, DestinationError, StoppedError.
    """
    if file.suffix != SUFFIX:
        raise EngineError(f"{file} is not named *{SUFFIX}, so it is not decrypted", code=Code.DONE)
    size = _check_sealed(file)
    key = _check_identity(file, identity)
    program = find_tool("age", "age", f"{file.name} is encrypted with it")
    target = into / file.stem
    if os.path.lexists(target):
        raise RestoreError(f"{target} exists already; {file.name} was not decrypted")
    phase, done = f"decrypting {file.name}", 0
    try:
        with replacing(target, mode=0o600) as stream:

            def hear(data: bytes) -> None:
                nonlocal done
                stream.write(data)
                done += len(data)
                report(Progress(phase, min(done, size), size))

            command = [program, "--decrypt", "--identity", str(key), "--", str(file.absolute())]
            ended = run_tool(command, into, stop=stop, hear=hear)
            if ended.code != 0:
                raise _failure(file, key, ended)
    except OSError as error:
        raise destination_failure(into, phase, error) from error
    return target


def _check_sealed(file: Path) -> int:
    """The size of a file that age can try with a key."""
    try:
        stream = open_regular(file)
    except PermissionError as error:
        raise NotPermittedError(f"{file} may not be read by this user") from error
    except OSError as error:
        raise MissingSetError(f"{file} cannot be opened: {error.strerror}") from error
    with stream:
        facts = os.fstat(stream.fileno())
        head = stream.read(_HEADER_LIMIT)
    if not head.lstrip().startswith((_BINARY, _ARMOR)):
        raise DamagedError(f"{file} is not a file of age, or its beginning is damaged")
    first = head.partition(b"\n--- ")[0]
    if _SCRYPT in first or _ARMOR_OF_SCRYPT in b"".join(head.split()):
        raise EngineError(
            f"{file} is encrypted with a passphrase, which nobody can type here",
            hint=f"decrypt it by hand: age --decrypt -o {file.stem!r} {file.name!r}",
            code=Code.DONE,
        )
    return facts.st_size


def _check_identity(file: Path, identity: Path | None) -> Path:
    """The file with the secret keys, when it can be read."""
    if identity is None:
        raise EngineError(
            f"{file.name} is encrypted with age, and no identity was named",
            hint="name the file with the secret key: --identity key.txt (AGE-SECRET-KEY-1...) that age-keygen wrote",
            code=Code.DONE,
        )
    try:
        read_regular(identity, _IDENTITY_LIMIT)
    except OSError as error:
        raise EngineError(
            f"the identity {identity} cannot be read: {error.strerror}; {file.name} was not decrypted",
            hint="name the file with the secret key: --identity key.txt, readable by this user",
            code=Code.DONE,
        ) from error
    return identity.absolute()


def _failure(file: Path, key: Path, ended: Ended) -> EngineError:
    """What age complained of, in our words."""
    lines = [line for line in ended.errors.splitlines() if line.startswith("age: error: ")]
    reason = lines[0].removeprefix("age: error: ") if lines else ended.errors
    if "no identity matched" in reason:
        return EngineError(
            f"{file} cannot be opened with the identity {key}: it was encrypted for another key",
            hint="name the identity it was encrypted for; if it is this one, the file is damaged at its beginning",
            code=Code.DONE,
        )
    if reason.startswith("reading "):
        return EngineError(
            f"the identity {key} cannot be used: {reason}",
            hint="name the file with the secret key: --identity key.txt (AGE-SECRET-KEY-1...) that age-keygen wrote",
            code=Code.DONE,
        )
    if any(word in reason for word in _OF_DAMAGE):
        return DamagedError(
            f"{file} is damaged or cut off: {reason}; nothing of it was kept",
            hint="fetch the off-site copy again, or use another one",
        )
    how = f"was killed by signal {-ended.code}" if ended.code < 0 else f"failed ({ended.code})"
    return EngineError(f"{file} was not decrypted: age {how}: {reason}", code=Code.DONE)
