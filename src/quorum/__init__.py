"""quorum: published image-classification studies as files to run, compare, promote and vote with."""

__version__ = "0.1.0"
