"""The port of verifiers, and its adapters: reward models, judges, confidence."""
