"""A run's tables: text, Markdown, CSV and summary.json."""
