"""The shipped models, the data they were trained with and its recipe."""
