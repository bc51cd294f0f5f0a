"""Style transfer: the classic method, a fast network for any style, and color transfer."""
