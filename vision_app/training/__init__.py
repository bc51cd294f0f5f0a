"""The training loop and its parts, whatever is learned."""
