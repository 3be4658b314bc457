"""Ours beside theirs: stored trainings, rows, verdicts and the page of a report."""
