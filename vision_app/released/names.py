"""Names of the released models that are used where the user names none."""

DETECTOR = "yolo"
CLASSIFIER = "classifier"
FACE_DETECTOR = "face-detector"
FACE_EMBEDDER = "face-embedder"
FACE_QUALITY = "face-quality"
STYLE_NETWORK = "style-fast"
STYLE_ENCODER = "style-encoder"
