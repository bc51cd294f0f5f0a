"""Limits that the command line shows before anything heavy is imported."""

MAX_PIXELS = 100_000_000
"""Images with more pixels are refused unless the caller raises the limit."""
