"""Changes bytes as damage and malice do: bits, pieces, numbers, and values inside of JSON and XML."""

import json
import random
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

_LINE = re.compile(rb'("[^"]*": )?(.*?)(,?)', re.DOTALL)
_NUMBER = re.compile(rb"-?\d+(\.\d+)?")
_BETWEEN = re.compile(rb">([^<>]*)<")
_LONGEST = 1 << 16

NUMBERS = (
    b"0",
    b"-1",
    b"1",
    b"255",
    b"65536",
    b"2147483648",
    b"-9223372036854775809",
    b"18446744073709551616",
    b"1e999",
    b"-1e999",
    b"1.5",
    b"NaN",
    b"Infinity",
    b"9" * 400,
    b"9" * 5000,
)
TEXTS = (
    b"",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"../../../../tmp/x",
    b"/",
    b"[" * 3000,
    b'{"a":' * 3000,
    b"\n",
    b"\r\n",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"9999-12-31T23:59:59+00:00",
    b"0001-01-01T00:00:00+23:59",
    b"9999-12-31T23:59:59-23:59",
    b"2026-01-01T00:00:00",
    b"\\ud800",
    b"A" * 5000,
)
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    -1,
    0,
    1,
    10**20,
    10**400,
    float("nan"),
    float("inf"),
    0.5,
    "",
    "x",
    "\0",
    "\ud800",
    "/",
    "9" * 5000,
    "9999-12-31T23:59:59+00:00",
    "0001-01-01T00:00:00+23:59",
    "2026-01-01T00:00:00",
    [],
    [[]],
    ["x"],
    {},
    {"a": 1},
)


def mutate(
    data: bytes, some: random.Random, others: Sequence[bytes], words: Sequence[bytes]
) -> bytes:
    """Some changes at random places; `others` are files to take pieces of, `words` what the format knows."""
    for _ in range(some.choice((1, 1, 1, 2, 3, 6))):
        change = some.choice(_CHANGES)
        data = change(data, some, others, words)[:_LONGEST]
    return data


def odd_values(document: Any) -> list[Any]:
    """The document with each of its values replaced by each odd one."""
    found = []
    for path in _paths(document):
        found += [_replaced(document, path, odd) for odd in ODD]
        if path:
            found.append(_replaced(document, path, _GONE))
    return found


# --- bytes ----------------------------------------------------------------------------------------

_Change = Callable[[bytes, random.Random, Sequence[bytes], Sequence[bytes]], bytes]


def _flip(data: bytes, some: random.Random, *_: object) -> bytes:
    if not data:
        return b"\0"
    changed = bytearray(data)
    changed[some.randrange(len(changed))] ^= 1 << some.randrange(8)
    return bytes(changed)


def _set(data: bytes, some: random.Random, *_: object) -> bytes:
    at = some.randrange(len(data) + 1)
    count = some.choice((1, 2, 4, 8, 16))
    return (
        data[:at]
        + some.choice((bytes(count), b"\xff" * count, some.randbytes(count)))
        + data[at + count :]
    )


def _cut(data: bytes, some: random.Random, *_: object) -> bytes:
    low, high = sorted((some.randrange(len(data) + 1), some.randrange(len(data) + 1)))
    return some.choice((data[:low], data[high:], data[:low] + data[high:]))


def _double(data: bytes, some: random.Random, *_: object) -> bytes:
    low, high = sorted((some.randrange(len(data) + 1), some.randrange(len(data) + 1)))
    return data[:high] + data[low:high] * some.choice((1, 1, 3, 50)) + data[high:]


def _splice(data: bytes, some: random.Random, others: Sequence[bytes], _: Sequence[bytes]) -> bytes:
    other = some.choice(others) if others else data
    at, theirs = some.randrange(len(data) + 1), some.randrange(len(other) + 1)
    return data[:at] + other[theirs:]


def _insert(data: bytes, some: random.Random, _: object, words: Sequence[bytes]) -> bytes:
    at = some.randrange(len(data) + 1)
    return data[:at] + some.choice((*words, *TEXTS, *NUMBERS)) + data[at:]


def _number(data: bytes, some: random.Random, *_: object) -> bytes:
    found = list(_NUMBER.finditer(data))
    if not found:
        return data
    one = some.choice(found)
    return data[: one.start()] + some.choice(NUMBERS) + data[one.end() :]


def _text(data: bytes, some: random.Random, _: object, words: Sequence[bytes]) -> bytes:
    """What stands between two tags."""
    found = list(_BETWEEN.finditer(data))
    if not found:
        return data
    one = some.choice(found)
    return data[: one.start(1)] + some.choice((*words, *TEXTS, *NUMBERS)) + data[one.end(1) :]


# --- JSON -----------------------------------------------------------------------------------------


class _Gone:
    """In place of a value: its key, too, is not there."""


_GONE = _Gone()


def _json(data: bytes, some: random.Random, *_: object) -> bytes:
    """One value of a document, or of one of its lines, is another."""
    lines = data.split(b"\n")
    at = some.randrange(len(lines))
    whole = some.random() < 0.5
    found = _LINE.fullmatch(data if whole else lines[at])
    if found is None:
        return data
    try:
        document = json.loads(found[2])
        path = some.choice(_paths(document))
        text = json.dumps(_replaced(document, path, some.choice((*ODD, _GONE)))).encode()
    except (ValueError, RecursionError, TypeError):
        return data
    changed = (found[1] or b"") + text + found[3]
    return changed if whole else b"\n".join((*lines[:at], changed, *lines[at + 1 :]))


def _paths(document: Any) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = [()]
    rows: Iterable[tuple[Any, Any]] = document.items() if isinstance(document, dict) else ()
    if isinstance(document, list):
        rows = enumerate(document[:50])
    for key, value in rows:
        found += [(key, *path) for path in _paths(value)]
    return found


def _replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return None if value is _GONE else value
    key, *rest = path
    if isinstance(document, list):
        changed = list(document)
        if not rest and value is _GONE:
            del changed[key]
            return changed
        changed[key] = _replaced(document[key], tuple(rest), value)
        return changed
    if not rest and value is _GONE:
        return {other: kept for other, kept in document.items() if other != key}
    return {**document, key: _replaced(document[key], tuple(rest), value)}


_CHANGES: tuple[_Change, ...] = (
    _flip, _set, _cut, _double, _splice, _insert, _number, _text, _json, _json, _json,
)  # fmt: skip
