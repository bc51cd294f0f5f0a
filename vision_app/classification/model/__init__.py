"""The network of the classifier."""
