"""`python -m scheduler` is the command `backup4d`."""

from scheduler.cli import main

main()
