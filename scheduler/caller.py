"""Calls the service that serves a database, when one runs and lets this user in."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.errors import EngineError, Exit
from scheduler.control import SOCKET_NAME, NoAnswerError, ask
from scheduler.environment import Environment
from scheduler.service_state import ServiceState, service_state
from settings.layout import DatabaseLayout

PATIENCE = 30.0


class ServiceRefusalError(EngineError):
    """The service said no, in its own words."""

    def __init__(self, row: dict[str, Any]) -> None:
        code, exit_code = row.get("code", 0), row.get("exit", Exit.FAILED)
        known_code = code if isinstance(code, int) else 0
        super().__init__(str(row["error"]), hint=str(row.get("hint", "")), code=known_code)
        self.exit_code = Exit(exit_code) if exit_code in list(Exit) else Exit.FAILED


class ServiceStrangeError(EngineError):
    """It answered what this program does not understand, as one of another release may."""

    code = 0

    def __init__(self, file: Path) -> None:
        super().__init__(
            f"the service at {file} gave an answer that this program does not understand",
            hint="after an update, restart the service: systemctl restart backup4d",
        )


class ServiceSilentError(EngineError):
    """A service runs, and it does not answer. `hangs`: it is there, and does not come to it."""

    code = 0

    def __init__(self, error: NoAnswerError) -> None:
        hint = "see `systemctl status backup4d`"
        if isinstance(error.__cause__, PermissionError):
            hint = "this user must be the service's, of its group, or root"
        super().__init__(str(error), hint=hint)
        self.hangs = error.hangs


def control_socket(environment: Environment) -> Path | None:
    """The socket of the service with this state folder; None when none runs."""
    state, holder = service_state(environment)
    match state:
        case ServiceState.RUNNING if "socket" in holder:
            return Path(holder["socket"])
        case ServiceState.RUNNING | ServiceState.HIDDEN:
            file = environment.runtime_folder / SOCKET_NAME
            return file if file.is_socket() else None
        case ServiceState.STOPPED:
            return None


@contextmanager
def understanding(file: Path) -> Iterator[None]:
    """Reads what the service at this socket said. Raises ServiceStrangeError when it is not what it should be."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ServiceStrangeError(file) from error


def call(
    file: Path, what: str, *, patience: float = PATIENCE, **facts: object
) -> Iterator[dict[str, Any]]:
    """Ask, and yield what comes. Raises ServiceRefusalError, ServiceSilentError when nobody answers."""
    try:
        for row in ask(file, {"ask": what, **facts}, patience=patience):
            if "error" in row:
                raise ServiceRefusalError(row)
            yield row
    except NoAnswerError as error:
        raise ServiceSilentError(error) from error


def call_about(
    file: Path,
    what: str,
    layout: DatabaseLayout,
    *,
    patience: float = PATIENCE,
    **facts: object,
) -> Iterator[dict[str, Any]]:
    """Ask about one database."""
    named = {"package": str(layout.package), "data_file": str(layout.data_file)}
    return call(file, what, patience=patience, **named, **facts)
