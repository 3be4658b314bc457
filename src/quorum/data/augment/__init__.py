"""Augmentation: policies, their operations, and the draws of an epoch."""
