"""Measurements: each script prints a table of medians; none of them is run by the test suite."""
