"""Evaluation of detections against ground truth: average precision, and all that explains it."""
