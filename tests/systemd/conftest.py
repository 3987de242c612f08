"""A machine for each test, booted on the same tree."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.machine import Machine, machine
from tests.systemd.tree import NotMadeError, installed_layer, kept_tree, need_a_machine


@pytest.fixture(scope="session")
def lower(tmp_path_factory: pytest.TempPathFactory) -> str:
    need_a_machine()
    try:
        return installed_layer(kept_tree(), tmp_path_factory.mktemp("installed"))
    except NotMadeError as error:
        pytest.skip(f"no tree to boot: {error}")


@pytest.fixture
def host(lower: str, tmp_path: Path) -> Iterator[Machine]:
    place = tmp_path / "machine"
    place.mkdir()
    with machine(lower, place, tmp_path / "console") as it:
        yield it
