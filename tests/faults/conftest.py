"""The library that makes calls fail is compiled once for all tests of faults."""

import pytest

from tests.faults.shim import compile_library
from tests.faults.sweeping import Sweep, needs_a_compiler


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Starts sweeps."""
    needs_a_compiler()
    return Sweep(compile_library(tmp_path_factory.mktemp("faults")))
