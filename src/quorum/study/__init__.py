"""Studies: files of stages, the trials that they ask for, and what comes out. Sees no MLflow."""
