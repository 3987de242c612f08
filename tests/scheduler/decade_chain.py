"""The attempts for one slot, as the ledger keeps them: what they answer for, and what was told of it."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

ChainState = Literal["running", "failed", "owed"]


@dataclass(slots=True)
class Chain:
    """The attempts for one slot: how many slots they answer for, by how these came in.

    `passed` is how many of them the next run must call missed, 0 when it may say nothing: one alone is owed,
    in time, or a run has told of the others before it was stopped. `last` is the newest that passed, if any did.
    """

    slot: datetime
    state: ChainState
    slots: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    failed_at: datetime | None = None
    passed: int = 0
    last: datetime | None = None

    def owe(self, due: list[datetime], late: int) -> None:
        """These are served with it, `late` of them after their time already."""
        before = max(1, self.passed) if self.slots else 0
        if before or late or len(due) > 1:
            self.passed = before + len(due)
        self.slots["owed"] += len(due)
        self.last = due[-1]

    def take(self, in_time: int, late: int) -> None:
        """A run takes these, too."""
        self.slots.update({"on time": in_time, "caught up": late})
        if late and self.state == "owed":
            self.passed = max(1, self.passed) + late  # what is owed is late, too

    def stop(self) -> None:
        """Its run was stopped with the service: that is no failure."""
        self.state, self.failed, self.failed_at, self.last = "owed", 0, None, None

    @property
    def untold(self) -> tuple[datetime, datetime, int]:
        """First, last and number of the slots that are to be journaled when nobody serves them any more."""
        return self.slot, self.last or self.slot, max(1, self.passed)

    def conclude(self, ending: str, tally: Counter[str]) -> None:
        """No attempt comes any more; each of the slots has this answer."""
        for kind, count in self.slots.items():
            tally[f"served {kind}" if ending == "published" else ending] += count
