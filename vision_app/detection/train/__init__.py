"""Train detectors."""
