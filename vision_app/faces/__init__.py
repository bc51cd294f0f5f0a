"""Finding, comparing and recognizing faces."""
