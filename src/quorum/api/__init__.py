"""What a notebook imports, as functions: options in, results out. The command line prints what they return."""
