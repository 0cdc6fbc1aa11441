"""report.html: one file with a run's curves, tables and every candidate, for a browser."""
