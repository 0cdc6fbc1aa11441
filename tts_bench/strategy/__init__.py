"""What a strategy stands on: the session, search trees, stopping rules and selection."""
