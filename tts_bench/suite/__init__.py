"""From a YAML file to a validated suite and its cells."""
