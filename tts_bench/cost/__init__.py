"""What an attempt costs: tokens, FLOPs and the shapes of models."""
