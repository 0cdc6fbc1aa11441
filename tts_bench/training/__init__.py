"""Training of policies and reward models."""
