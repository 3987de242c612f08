"""Slots, retries, the process that lives for months, and the command line."""
