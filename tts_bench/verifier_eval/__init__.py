"""How good a verifier is: on labelled solutions, or on a run's candidates."""
