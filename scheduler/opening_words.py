"""What an opening check says: one line when all is well, else what is wrong, what was done, what to do."""

from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from engine.autorestore import Brought
from engine.datalook import Seen
from engine.errors import EngineError, Exit
from engine.opencheck import State, Verdict
from scheduler.screen import say, say_json, size_words, time_words, warn
from settings.layout import DatabaseLayout


@dataclass(frozen=True, slots=True)
class Answer:
    """How it ended. `brought` is None when nothing was restored; `error` says why, None when nobody tried.

    `hint` says what to do, empty for nothing. `set_number` is the set that was, or can be, restored.
    """

    exit: Exit
    verdict: Verdict
    brought: Brought | None
    error: EngineError | None
    hint: str
    remarks: tuple[str, ...]
    set_number: int | None


def say_answer(answer: Answer, layout: DatabaseLayout, zone: tzinfo, *, as_json: bool) -> None:
    """Say it to a person or a program."""
    if as_json:
        say_json(_row(answer, layout))
        return
    for text in answer.remarks:
        warn(f"note: {text}")
    if answer.brought is not None:
        _say_brought(answer, answer.brought, layout, zone)
    elif answer.verdict.state is State.GOOD:
        say(f"OK: {layout.data_file}: {_seen_words(answer.verdict.seen)}")
        for text in answer.verdict.notes:
            say(f"log: {text}")
        for text in answer.verdict.doubts:
            warn(f"doubt: {text}")
    else:
        _say_bad(answer, layout)


def _seen_words(seen: Seen | None) -> str:
    if seen is None:
        return "it can be read; its header is not known to this program"
    return (
        f"{size_words(seen.size)}, header good, at operation {seen.last}, "
        f"{len(seen.places)} places with data read"
    )


def _say_brought(answer: Answer, brought: Brought, layout: DatabaseLayout, zone: tzinfo) -> None:
    restored = brought.restored
    say(f"RESTORED: {layout.data_file} was damaged: {'; '.join(answer.verdict.damage)}")
    facts = brought.stored.facts
    for text in brought.passed:
        say(f"note: {text}")
    say(
        f"set {restored.number} of {time_words(facts.started, zone)} restored: {restored.files} files, "
        f"{size_words(restored.content_bytes)}, every file compared with its digest"
    )
    for text in () if restored.logs is None else restored.logs.plan.sentences:
        say(f"log: {text}")
    say(f"what was there before is in {restored.aside}")
    if answer.hint:
        warn(answer.hint)


def _say_bad(answer: Answer, layout: DatabaseLayout) -> None:
    word = "DAMAGED" if answer.verdict.state is State.DAMAGED else "NOT KNOWN"
    warn(f"{word}: {layout.data_file}: {'; '.join(answer.verdict.damage)}")
    if answer.error is not None:
        warn(f"not restored: {answer.error}")
    if answer.hint:
        warn(f"what to do: {answer.hint}")


def _row(answer: Answer, layout: DatabaseLayout) -> dict[str, Any]:
    verdict, seen, brought = answer.verdict, answer.verdict.seen, answer.brought
    aside = None if brought is None else brought.restored.aside
    return {
        "database": str(layout.package),
        "data_file": str(layout.data_file),
        "state": verdict.state.value if brought is None else "restored",
        "damage": list(verdict.damage),
        "doubts": list(verdict.doubts),
        "notes": [*answer.remarks, *verdict.notes],
        "size": None if seen is None else seen.size,
        "last_operation": None if seen is None else seen.last,
        "restored": brought is not None,
        "set": answer.set_number,
        "passed_over": [] if brought is None else list(brought.passed),
        "set_aside": None if aside is None else str(aside),
        "log": _log_sentences(brought),
        "error": None if answer.error is None else str(answer.error),
        "hint": answer.hint,
        "exit": int(answer.exit),
    }


def _log_sentences(brought: Brought | None) -> list[str]:
    logs = None if brought is None else brought.restored.logs
    return [] if logs is None else list(logs.plan.sentences)
