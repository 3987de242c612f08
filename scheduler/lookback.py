"""What became of the slots of a span of time: those that can be judged one by one, and those of long ago. Pure."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from scheduler.answers import Answer, AnswerGroup, Evidence, Fate, Judge, group_answers
from scheduler.slots import missed_slots, slots_after

_TICK = timedelta(microseconds=1)
# an hourly schedule has a hundred thousand slots in this time, which take some seconds
_LONGEST = timedelta(days=3653)
_FINE = (Fate.SERVED, Fate.POSTPONED)


@dataclass(frozen=True, slots=True)
class Past:
    """What became of the slots from `since` on; `older` are those of which nothing can be said, None without any."""

    since: datetime
    older: AnswerGroup | None
    answers: tuple[Answer, ...]

    def counts(self) -> Counter[Fate]:
        """How many slots of each fate, without older ones that were not counted."""
        counts = Counter(answer.fate for answer in self.answers)
        if self.older is not None:
            counts[self.older.fate] += self.older.count or 0
        return counts

    def not_fine(self) -> list[Answer]:
        """All but what went well, one by one."""
        return [answer for answer in self.answers if answer.fate not in _FINE]

    def groups(self) -> list[AnswerGroup]:
        """All but what went well, neighbours together."""
        groups = [group for group in group_answers(self.answers) if group.fate not in _FINE]
        return groups if self.older is None else [self.older, *groups]

    def lines(self, most: int) -> list[AnswerGroup]:
        """One by one up to `most`, else neighbours together; what is not known always together."""
        groups = self.groups()
        told = [answer for answer in self.not_fine() if answer.fate is not Fate.UNKNOWN]
        if len(told) > most:
            return groups
        single = [AnswerGroup(one.slot, one.slot, 1, one.fate, one.why) for one in told]
        unknown = [group for group in groups if group.fate is Fate.UNKNOWN]
        return sorted([*unknown, *single], key=lambda group: group.first.at)


def look_back(evidence: Evidence, since: datetime, now: datetime) -> Past:
    """Judge the slots from `since` up to `now`, both included."""
    known = evidence.known
    # never further than anything is left to tell: a question about the year 1 must not take an hour
    begin = max(since, now - _LONGEST, min(evidence.oldest(), now))
    slots = slots_after(known.schedule, begin - _TICK, known.anchor, known.zone)
    passed = takewhile(lambda slot: slot.at <= now, slots)
    answers = Judge(evidence, now).judge(passed)
    return Past(since, _older(evidence, since, begin), tuple(answers))


def _older(evidence: Evidence, since: datetime, begin: datetime) -> AnswerGroup | None:
    """The slots before `begin`; too many to be counted when that is very long ago."""
    known = evidence.known
    why = evidence.blind or _why_nothing(evidence, begin)
    is_counted = begin - since <= _LONGEST
    start = since if is_counted else begin - _LONGEST
    slots = missed_slots(known.schedule, start - _TICK, begin - _TICK, known.anchor, known.zone)
    if slots is None:
        return None
    first = slots.first
    if not is_counted:
        after = slots_after(known.schedule, since - _TICK, known.anchor, known.zone)
        first = next(after, first)
    return AnswerGroup(first, slots.last, slots.count if is_counted else None, Fate.UNKNOWN, why)


def _why_nothing(evidence: Evidence, begin: datetime) -> str:
    if evidence.oldest() < begin:
        return "more than ten years ago, which is not looked at"
    if evidence.sets:
        return f"older than set {evidence.sets[0].number}, and nothing else tells of it"
    return "neither a set nor the history nor the service's state tells of it"
