"""Training of the style encoder and of the fast network. Needs torch."""
