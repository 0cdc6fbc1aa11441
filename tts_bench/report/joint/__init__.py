"""Several runs in one figure and one table."""
