"""Damage at rest: every small file the program reads, damaged in every way, and what comes of it."""
