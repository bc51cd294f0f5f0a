"""The networks of the detectors."""
