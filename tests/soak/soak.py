"""One soak: hours of a moved clock pass every few seconds, and things go wrong; figures and failures come out."""

import random
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.scheduler.accounts import Account
from tests.scheduler.real import saved_state
from tests.soak.gauges import Gauge
from tests.soak.judge import Judge
from tests.soak.ledger import ANSWERS, balance, count
from tests.soak.people import People
from tests.soak.tricks import Tricks
from tests.soak.world import HOURS, Home, Post, World

_LEAST, _MOST = 1.5, 20.0
_STUCK = 120.0
_DAY = timedelta(days=1)


@dataclass
class Soak:
    """The whole of it. `run` may be called once."""

    seed: int
    minutes: float
    keep: bool = False
    failures: list[str] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)
        self.world = World(chance)
        self.people = People(self.world, self.failures)
        self.tricks = Tricks(self.world, self.people, random.Random(chance.random()))
        self.judge = Judge(self.world, self.failures)
        self.chance = random.Random(chance.random())
        self.gauge = Gauge()
        self.began = time.monotonic()
        self.hours = 0
        self._zombies: dict[int, float] = {}
        self._since: dict[str, datetime] = {}

    def run(self) -> bool:
        """True when nothing was found."""
        accounts: list[Account] = []
        try:
            with self._services():
                while time.monotonic() - self.began < self.minutes * 60 and len(self.failures) < 20:
                    self._hour()
                self._settle()
                accounts = self._balance()
                self.judge.judge_end(self.tricks.states_broken)
            self.failures += [f"left over: {name}" for name in self.judge.leftovers()]
        except Exception:  # noqa: BLE001 - half an hour's figures are worth more than a clean end
            self.failures.append(f"the soak itself: {traceback.format_exc()}")
        finally:
            self._tell(accounts)
            if not self.failures and not self.keep:
                self.world.remove()
            else:
                self.world.clock.clear()
                self.figures["kept"] = self.world.root
        return not self.failures

    @contextmanager
    def _services(self) -> Iterator[None]:
        """Both services; at the end each ends by itself when it is told to, with all its processes."""
        for post in self.world.posts:
            post.start()
        for post in self.world.posts:
            self._wait(lambda post=post: self._is_known(post), 60, "it never starts")
        self._since = {home.name: self._answered(home) for home in self.world.homes}
        yield
        for post in self.world.posts:
            assert post.real is not None
            if code := post.real.stop(90):
                self.failures.append(f"{post.name}: SIGTERM, and exit {code}")
        if left := self.world.clock.watchers():
            self.failures.append(f"processes outlive their services: {left}")

    def _is_known(self, post: Post) -> bool:
        try:
            return all(saved_state(post.state_folder, home.app) for home in post.homes)
        except (OSError, ValueError):
            return False

    def _answered(self, home: Home) -> datetime:
        state = saved_state(self.world.post_of(home).state_folder, home.app)
        return datetime.fromisoformat(str(state["answered_until"]))

    # --- one hour

    def _hour(self) -> None:
        """The clock moves on; things go wrong, people type, programs write; until all runs have ended, or too long."""
        self.tricks.end_due(self.hours)
        for home in self.world.homes:
            if home.name != "lazy" or self.chance.random() < 0.3:
                home.sources.live()
        self._next_hour(self.chance.choice((1,) * 12 + (2, 3)))
        for _ in range(self.chance.choice((0, 1, 1, 2, 3))):
            self.tricks.play(self.hours)
        for _ in range(self.chance.choice((0, 1, 2))):
            if len(self.people.on) < 3:
                self.people.type_something()
        self._pass_time()
        self.people.ask_about_failures()
        self.judge.look()

    def _pass_time(self) -> None:
        began = time.monotonic()
        while time.monotonic() - began < _LEAST or not self._is_quiet():
            if time.monotonic() - began > _MOST:
                return
            if self.chance.random() < 0.02:
                self.chance.choice(self.world.homes).sources.live()
            self._look()

    def _next_hour(self, hours: int) -> None:
        """Two seconds past the full hour, and both services look."""
        now = self.world.clock.now()
        target = now.replace(minute=0, second=2, microsecond=0) + hours * HOURS
        self.world.clock.move(target - now)
        self.hours += hours
        for post in self.world.posts:
            post.look()

    def _look(self) -> None:
        time.sleep(0.1)
        self.people.look()
        for post in self.world.posts:
            if how := post.ended():
                self.failures.append(f"the {post.name} service ended by itself, {how}")
                post.start()
        self.gauge.look(
            self.world.posts[0].pid, time.monotonic() - self.began, self._slots_so_far()
        )
        now = time.monotonic()
        zombies = set(self.world.zombies())
        self._zombies = {pid: self._zombies.get(pid, now) for pid in zombies}
        for pid, since in self._zombies.items():
            if now - since > 30:
                self.failures.append(f"process {pid} is dead and nobody asks for it")

    def _slots_so_far(self) -> int:
        return self.hours * len(self.world.posts[0].homes)

    def _is_quiet(self) -> bool:
        return all(post.is_quiet() for post in self.world.posts)

    def _wait(self, claim: object, seconds: float, what: str) -> None:
        assert callable(claim)
        end = time.monotonic() + seconds
        while not claim():
            if time.monotonic() > end:
                self.failures.append(what)
                return
            self._look()

    # --- the end

    def _settle(self) -> None:
        """All is mended, two slots pass undisturbed, and each database is saved once more by hand."""
        self.tricks.end_all()
        self.people.wait_for_all()
        self._type_for_all("resume")
        # noon, when every database has a slot, and an hour more
        for hours in ((11 - self.world.clock.now().hour) % 24 + 1, 1):
            self._next_hour(hours)
            time.sleep(2)
            for post in self.world.posts:
                post.look()
            self._wait(self._is_settled, _STUCK, "a service does not come to rest")
        for home in self.world.homes:
            home.sources.live()
        self._type_for_all("backup")
        self._wait(self._is_settled, _STUCK, "a service does not come to rest")
        self._type_for_all("status")

    def _type_for_all(self, what: str) -> None:
        for home in self.world.homes:
            self.people.type(what, home)
        self.people.wait_for_all()

    def _is_settled(self) -> bool:
        """No run is on, none is to be tried again, no drill or scrub is on."""
        for post in self.world.posts:
            if post.runs() or not post.is_quiet():
                return False
            if any(_is_owed(saved_state(post.state_folder, home.app)) for home in post.homes):
                return False
        return True

    def _balance(self) -> list[Account]:
        accounts = []
        now = self.world.clock.now()
        for home in self.world.homes:
            slots = _slots(home, self._since[home.name], now)
            account = balance(home, slots, self.world.clock.moves)
            self.failures += [f"{home.name}: {fault}" for fault in account.faults]
            accounts.append(account)
        return accounts

    def _tell(self, accounts: list[Account]) -> None:
        self.figures |= {
            "seconds": round(time.monotonic() - self.began),
            "hours of the moved clock": self.hours,
            "slots": sum(len(account.answers) for account in accounts),
            **{f"  {answer}": count(accounts, answer) for answer in ANSWERS},
            "sets seen and verified": self.judge.verified,
            "  restored and compared": self.judge.restored + self.people.restored,
            "  removed by rotation": self.judge.gone,
            "starts of services": sum(post.starts for post in self.world.posts),
            "faults": sum(self.tricks.counts.values()),
            **{f"  {name}": self.tricks.counts[name] for name in sorted(self.tricks.counts)},
            "commands of people": sum(self.people.counts.values()),
            **{f"  {name}": self.people.counts[name] for name in sorted(self.people.counts)},
            "words of status judged": self.people.judged,
        }
        for growth in self.gauge.growths():
            self.figures[growth.name] = growth.words()
            if growth.is_leak:
                self.failures.append(f"{growth.name} grow: {growth.words()}")


def _is_owed(state: dict[str, object]) -> bool:
    """Whether something is still to be made; a halt waits for a person."""
    trouble = state["trouble"]
    return isinstance(trouble, dict) and trouble["kind"] != "halt"


def _slots(home: Home, since: datetime, until: datetime) -> list[datetime]:
    """All that were due: every hour, or every day at noon."""
    step = _DAY if home.name == "daily" else HOURS
    slot = since.replace(hour=12 if home.name == "daily" else since.hour, minute=0, second=0)
    slot = slot.replace(microsecond=0)
    found = []
    while slot <= until:
        if slot > since:
            found.append(slot)
        slot += step
    return found
