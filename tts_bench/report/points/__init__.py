"""A run's attempts as points of accuracy and cost."""
