"""Compute-optimal choices by difficulty, and the policy file they give."""
