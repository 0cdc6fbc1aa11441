"""Step labels of solutions: by rollouts, search or a judge."""
