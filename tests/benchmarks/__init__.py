"""Measurements: `python -m tests.benchmarks` prints tables of medians; the suite runs only the tests of the harness."""
