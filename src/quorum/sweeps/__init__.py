"""Many trainings: the trials of a study over its seeds, each epoch trained once."""
