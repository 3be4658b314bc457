"""One tracked training: settings resolved, weights and data opened, its job, its run."""
