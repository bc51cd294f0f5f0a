"""Training of face embedders and face detectors."""
