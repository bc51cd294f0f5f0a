"""How well faces are told apart: from pairs of photos to figures, tables and plots."""
