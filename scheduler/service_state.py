"""Whether a service runs with a state folder, and what it says of itself."""

from enum import Enum
from typing import Any

from engine.lock import current_holder
from scheduler.environment import Environment
from scheduler.instance import SERVICE_LOCK


class ServiceState(Enum):
    """Whether a service runs with this state folder; HIDDEN when this user may not see it."""

    RUNNING = "running"
    STOPPED = "stopped"
    HIDDEN = "hidden"


def service_state(environment: Environment) -> tuple[ServiceState, dict[str, Any]]:
    """The service's state, and what it says of itself when it runs."""
    try:
        holder = current_holder(environment.state_folder / SERVICE_LOCK)
    except PermissionError:
        return ServiceState.HIDDEN, {}
    except OSError:
        return ServiceState.STOPPED, {}
    if holder is None:
        return ServiceState.STOPPED, {}
    return ServiceState.RUNNING, holder
