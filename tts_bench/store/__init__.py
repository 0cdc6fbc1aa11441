"""What a run leaves on disk: attempts, completions and scores, and where it was made."""
