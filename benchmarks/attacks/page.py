"""Attacks on the page, over the network and through what a visitor uploads."""
