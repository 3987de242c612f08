"""Fixtures that several stories about damage share."""

from collections.abc import Callable, Iterator

import pytest

from tests.engine.damage_stories import Saved, save
from tests.engine.stream_stories import let_all_go


@pytest.fixture(autouse=True)
def nothing_is_held() -> Iterator[None]:
    """Later tests in the same process are given few descriptors."""
    yield
    let_all_go()


@pytest.fixture(scope="module")
def saved_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Saved]:
    """A saved set of each kind, made once for a module."""
    known: dict[str, Saved] = {}

    def get(kind: str) -> Saved:
        if kind not in known:
            known[kind] = save(tmp_path_factory.mktemp("saved"), kind)
        return known[kind]

    return get
