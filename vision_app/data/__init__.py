"""Data sets in the usual formats, read into one shape and checked."""
