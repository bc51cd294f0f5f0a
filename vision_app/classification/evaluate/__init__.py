"""Evaluate classifiers."""
