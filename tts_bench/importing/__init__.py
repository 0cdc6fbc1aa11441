"""Recorded completions as a run."""
