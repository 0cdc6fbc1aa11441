"""A run as rows that another tool would print of it."""
