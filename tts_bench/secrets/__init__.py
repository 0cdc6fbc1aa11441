"""What must not be written: keys of services, passwords and tokens, by their names and values."""
