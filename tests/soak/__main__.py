"""`python -m tests.soak --minutes 30 [--seed N]`: the service under load and faults; exit code 0 when nothing was found."""

import argparse
import os
import random
import shutil
import subprocess
import sys
import time

from tests.soak.soak import Soak
from tests.soak.world import IN_NAMESPACE


def main() -> int:
    """Run it, in a mount namespace of its own where root may make one."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", action="store_true", help="leave the folder, to look at it")
    given = parser.parse_args()
    if os.environ.get(IN_NAMESPACE) is None:
        _enter_namespace()
    seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    soak = Soak(seed, given.minutes, given.keep)
    began = time.monotonic()
    is_good = soak.run()
    for name, figure in soak.figures.items():
        print(f"{name:44} {figure}")
    for failure in soak.failures:
        print("FAILURE", failure)
    print(f"{'seconds in all':44} {time.monotonic() - began:.0f}")
    print(f"{'failures':44} {len(soak.failures)}", flush=True)
    return 0 if is_good else 1


def _enter_namespace() -> None:
    """Start anew where mounts are seen by nobody else, and vanish with us; without root there are no volumes."""
    prefix = ["unshare", "--mount", "--propagation", "private"]
    can = os.geteuid() == 0 and shutil.which("unshare") is not None
    if can:
        look = subprocess.run([*prefix, "true"], capture_output=True, timeout=30, check=False)
        can = look.returncode == 0
    variables = {**os.environ, IN_NAMESPACE: "1" if can else "0"}
    command = [sys.executable, "-m", "tests.soak", *sys.argv[1:]]
    command = [*prefix, *command] if can else command
    os.execvpe(command[0], command, variables)  # noqa: S606 - ourselves, once more


if __name__ == "__main__":
    sys.exit(main())
