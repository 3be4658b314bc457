"""One data set a file, and the archives they come in."""
