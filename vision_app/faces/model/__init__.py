"""The torch network of the face embedder."""
