"""Voting: members, the rule, and predictions."""
