"""A suite's run: what it has to do, every attempt, and its manifest."""
