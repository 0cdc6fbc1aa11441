"""Two runs, or two points of a run, problem by problem."""
