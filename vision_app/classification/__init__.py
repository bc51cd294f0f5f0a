"""Image classification: tells which classes are in an image."""
