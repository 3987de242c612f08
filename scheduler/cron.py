"""croniter, imported without the process it starts: it runs `file` on Python's own binary to learn the word size.

A service that wakes without starting anything must not do so at its start either, and a killed or hanging
`file` must not keep backups from running.
"""

import platform
import sys

_asked_of_the_system = platform.architecture
platform.architecture = lambda *_, **__: ("64bit" if sys.maxsize > 2**32 else "32bit", "ELF")
try:
    from croniter import croniter
finally:
    platform.architecture = _asked_of_the_system

__all__ = ["croniter"]
