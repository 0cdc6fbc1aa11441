"""Figures of one run, and how all figures look."""
