"""Torch networks for style transfer."""
