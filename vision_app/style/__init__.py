"""Repaints pictures: the classic method, a fast network for any style, and colors alone."""
