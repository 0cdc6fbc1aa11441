"""From a text to its answer, and whether that answer is right."""
