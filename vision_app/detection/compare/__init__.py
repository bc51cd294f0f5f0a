"""Compare detectors on the same images: where they agree, what they cost, how good they are."""

FAMILY = ("yolo", "faster-rcnn", "fast-rcnn", "rcnn")  # on one backbone and of the same classes, the fastest first
