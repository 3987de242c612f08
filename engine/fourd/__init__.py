"""4D's own archives, .4BK and .4BL: read, checked, taken apart and written, without 4D."""
