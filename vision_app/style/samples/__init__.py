"""The sample styles, as image files; `tools/draw_style_samples.py` drew them."""
