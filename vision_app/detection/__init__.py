"""Object detection: ready-made detectors, and what trains, evaluates and compares them."""
