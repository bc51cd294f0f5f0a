"""`FaceRecognizer`: finds and embeds faces, and decides whether two are of one person. NumPy only."""

import os
from dataclasses import replace
from typing import Any, Unpack

import numpy as np

from vision_app.core.errors import FaceError
from vision_app.core.images import ImageSource, RGBImage
from vision_app.faces import calibration
from vision_app.faces.align import SIZE, align_face
from vision_app.faces.calibration import Calibration
from vision_app.faces.detector import SMALLEST, FaceDetector
from vision_app.faces.embedder import Embedder
from vision_app.faces.results import DIFFERENT, SAME, UNCERTAIN, Face, Faces, Verification
from vision_app.released.execution import ExecutionOptions
from vision_app.released.names import FACE_DETECTOR, FACE_EMBEDDER

NO_FACE, SEVERAL_FACES, BAD_EMBEDDING = "no_face", "several_faces", "bad_embedding"


class FaceRecognizer:
    """A face detector and a face embedder that work together.

    >>> FaceRecognizer.load().verify("a.jpg", "b.jpg")

    Attributes:
        detector: Finds faces.
        embedder: Embeds them.
    """

    def __init__(self, detector: FaceDetector, embedder: Embedder):
        self.detector, self.embedder = detector, embedder

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] = FACE_EMBEDDER,
        *,
        detector: str | os.PathLike[str] = FACE_DETECTOR,
        smallest: float = SMALLEST,
        **execution: Unpack[ExecutionOptions],
    ) -> "FaceRecognizer":
        """Load released models by name, or model folders or exported ONNX files by path.

        `model` is the embedder; errors and other arguments are those of `FaceDetector.load`.
        """
        return cls(FaceDetector.load(detector, smallest=smallest, **execution), Embedder.load(model, **execution))

    @property
    def model_id(self) -> str:
        """Digest of what decides an embedding, see `Embedder`."""
        return self.embedder.model_id

    contract = property(lambda self: self.model_id, doc="The former name of `model_id`.")

    @property
    def calibration(self) -> Calibration:
        """The similarity thresholds of the embedder; raises ModelError where it is not calibrated."""
        return self.embedder.calibration

    def read(self, source: ImageSource, **options: Any) -> RGBImage:
        """Read an image; options and errors are those of `read_image`."""
        return self.detector.read(source, **options)

    def __call__(self, source: ImageSource) -> Faces:
        """Find and embed the faces of one image, given as path, bytes, file object, array or `RGBImage`.

        Raises:
            ImageError: The image cannot be read.
        """
        image = self.read(source)
        return self.embed(image, Faces.of(image, self.detector(image), self.detector.checker))

    def embed(self, image: RGBImage, faces: Faces) -> Faces:
        """Return the same faces of a photo with their embeddings."""
        chips = [align_face(image, landmarks, self.embedder.template) for landmarks in faces.landmarks]
        stack = np.stack(chips) if chips else np.zeros((0, SIZE, SIZE, 3), np.uint8)  # (N, 112, 112, 3)
        return replace(faces, embeddings=self.embedder.embed(stack), model_id=self.model_id)

    def face(self, source: ImageSource, *, largest: bool = False) -> Face:
        """Return the face of an image that shows one, with its embedding.

        Args:
            source: Path, bytes, file object, array or `RGBImage`.
            largest: Take the largest of several faces.

        Raises:
            ImageError: The image cannot be read.
            FaceError: It shows no face ("no_face") or, without `largest`, more than one ("several_faces").
        """
        return only(self(source), source, largest=largest)

    def verify(
        self, a: ImageSource, b: ImageSource, *, far: float | None = None, largest: bool = False
    ) -> Verification:
        """Decide whether two images show one person.

        Args:
            a: Image of one face.
            b: Image of one face.
            far: False accept rate: how often strangers may pass for one person; 0.001 by default.
            largest: Take the largest face of an image that shows several.

        Raises:
            ImageError: An image cannot be read.
            FaceError: See `face`.
            ModelError: The model is not calibrated.
            UsageError: The model is not calibrated for that rate.
        """
        return self.compare(self.face(a, largest=largest), self.face(b, largest=largest), far=far)

    def compare(
        self, a: Face, b: Face, *, far: float | None = None, photos: int = 1, photos_a: int = 1
    ) -> Verification:
        """Decide whether two faces are of one person. With a face that is not fit (`Face.is_fit`), it is uncertain.

        Args:
            a: Face with an embedding.
            b: Face with an embedding.
            far: See `verify`.
            photos: Number of photos whose mean the embedding of `b` is; the threshold rises with them.
            photos_a: Likewise of `a`.

        Raises:
            FaceError: One of them has no embedding of this model ("bad_embedding").
            ModelError, UsageError: See `verify`.
        """
        far = calibration.FAR if far is None else far
        gain = self.calibration.gain(photos) + self.calibration.gain(photos_a)
        threshold, low, high = (
            value + gain for value in (self.calibration.threshold(far), *self.calibration.band(far))
        )
        similarity = float(np.dot(*(self._embedding(face) for face in (a, b))))
        verdict = SAME if similarity >= high else DIFFERENT if similarity < low else UNCERTAIN
        if not (a.is_fit and b.is_fit):
            verdict = UNCERTAIN
        return Verification(verdict, similarity, threshold, far, self.model_id, a, b, (low, high))

    def _embedding(self, face: Face) -> np.ndarray:
        """Return (D,) float64 after checking that it can be compared."""
        embedding = np.asarray([] if face.embedding is None else face.embedding, np.float64)
        dimension = self.embedder.dimension
        if embedding.shape != (dimension,) or not abs(np.linalg.norm(embedding) - 1) < 1e-3:
            raise FaceError("<face>", BAD_EMBEDDING, f"expected an embedding of {dimension} numbers and length 1")
        return embedding


def only(faces: Faces, source: ImageSource, *, largest: bool = False) -> Face:
    """Return the face of an image that shows one; arguments and errors are those of `FaceRecognizer.face`."""
    name = os.fsdecode(source) if isinstance(source, str | os.PathLike) else "<image>"
    if len(faces) == 0:
        raise FaceError(name, NO_FACE, "no face found")
    if len(faces) > 1 and not largest:
        raise FaceError(name, SEVERAL_FACES, f"shows {len(faces)} faces; crop it to one, or take the largest")
    return faces[int(np.argmax([quality.size for quality in faces.quality]))]
