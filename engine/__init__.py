"""One backup, one verification, one restore, one rotation."""
