"""Calls that run side by side: many at once, and equal ones joined."""
