"""Epochs: one pass over a split, training over many of them, and the state in between. Knows no MLflow."""
