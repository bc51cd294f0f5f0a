"""The classic method: an image is optimized step by step. Needs torch."""
