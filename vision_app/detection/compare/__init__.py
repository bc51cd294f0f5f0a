"""Several detectors on the same pictures: where they agree, what they cost, how good they are."""
