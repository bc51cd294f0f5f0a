"""Model folders: find, write and run them."""
