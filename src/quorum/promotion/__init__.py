"""Promotion: which trials are candidates, whether fresh seeds confirm them, and what the best replaces."""
