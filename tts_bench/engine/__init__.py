"""The port of policy models, and its adapters."""
