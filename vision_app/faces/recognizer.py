"""`FaceRecognizer`: finds faces, turns them into embeddings and says whether two are of one person. NumPy only."""

import os
from dataclasses import replace

import numpy as np

from vision_app.core.errors import FaceError
from vision_app.core.images import ImageSource, RGBImage
from vision_app.faces import calibration
from vision_app.faces.align import SIZE, align_face
from vision_app.faces.calibration import Calibration
from vision_app.faces.detector import SMALLEST, FaceDetector
from vision_app.faces.embedder import Embedder
from vision_app.faces.results import DIFFERENT, SAME, UNCERTAIN, Face, Faces, Verification
from vision_app.released.runtime import Execution

NO_FACE, SEVERAL_FACES, BAD_EMBEDDING = "no_face", "several_faces", "bad_embedding"


class FaceRecognizer:
    """A face detector and a face embedder that work together.

    >>> FaceRecognizer.load().verify("a.jpg", "b.jpg")

    Attributes:
        detector: finds faces.
        embedder: turns them into embeddings.
    """

    def __init__(self, detector: FaceDetector, embedder: Embedder):
        self.detector, self.embedder = detector, embedder

    @classmethod
    def load(
        cls,
        model="face-embedder",
        *,
        detector="face-detector",
        device: str = "auto",
        runtime: str = "auto",
        threads: int | None = None,
        smallest: float = SMALLEST,
    ) -> "FaceRecognizer":
        """Loads released models by name, or model folders or exported ONNX files by path; see `Detector.load`.

        Args:
            model: the embedder.
            detector: the face detector.
            smallest: side in pixels of the smallest face to be found.

        Raises:
            ModelError: no such model, one for something else, or damaged files.
            UsageError: no such device or runtime here, or a wrong size.
        """
        execution = Execution(device, runtime, threads)
        return cls(FaceDetector.open(detector, execution, smallest), Embedder.open(model, execution))

    @property
    def model_id(self) -> str:
        """Digest of what decides an embedding, see `Embedder`."""
        return self.embedder.model_id

    @property
    def contract(self) -> str:
        """The former name of `model_id`."""
        return self.model_id

    @property
    def calibration(self) -> Calibration:
        """From which similarity on two faces are one person; raises ModelError where nobody has measured that."""
        return self.embedder.calibration

    def read(self, source: ImageSource, **options) -> RGBImage:
        """Reads a picture; options and errors are those of `read_image`."""
        return self.detector.read(source, **options)

    def __call__(self, source: ImageSource) -> Faces:
        """Finds the faces of one picture and embeds them.

        Args:
            source: path, bytes, file object, array or `RGBImage`.

        Raises:
            ImageError: the picture cannot be read.
        """
        image = self.read(source)
        return self.embed(image, Faces.of(image, self.detector(image)))

    def embed(self, image: RGBImage, faces: Faces) -> Faces:
        """The same faces of a photo with their embeddings."""
        chips = [align_face(image, landmarks, self.embedder.template) for landmarks in faces.landmarks]
        stack = np.stack(chips) if chips else np.zeros((0, SIZE, SIZE, 3), np.uint8)  # (N, 112, 112, 3)
        return replace(faces, embeddings=self.embedder.embed(stack), model_id=self.model_id)

    def face(self, source: ImageSource, *, largest: bool = False) -> Face:
        """The face of a picture that shows one, with its embedding.

        Args:
            source: path, bytes, file object, array or `RGBImage`.
            largest: take the largest one where there are several.

        Raises:
            ImageError: the picture cannot be read.
            FaceError: it shows no face ("no_face") or, without `largest`, more than one ("several_faces").
        """
        return only(self(source), source, largest=largest)

    def verify(
        self, a: ImageSource, b: ImageSource, *, far: float | None = None, largest: bool = False
    ) -> Verification:
        """Says whether two pictures show one person.

        Args:
            a, b: pictures of one face each.
            far: false accept rate: how often strangers may pass for one person; 0.001 by default.
            largest: take the largest face of a picture that shows several.

        Raises:
            ImageError: a picture cannot be read.
            FaceError: see `face`.
            ModelError: nobody has measured the model's thresholds.
            UsageError: the thresholds were not measured for that rate.
        """
        return self.compare(self.face(a, largest=largest), self.face(b, largest=largest), far=far)

    def compare(self, a: Face, b: Face, *, far: float | None = None, photos: int = 1) -> Verification:
        """Says whether two faces are of one person, see `verify`.

        Args:
            a, b: faces with embeddings.
            far: see `verify`.
            photos: of how many photos of the person the embedding of `b` is the mean; the threshold rises with them.

        Raises:
            FaceError: one of them has no embedding of this model ("bad_embedding").
            ModelError, UsageError: see `verify`.
        """
        far = calibration.FAR if far is None else far
        gain = self.calibration.gain(photos)
        threshold, low, high = (
            value + gain for value in (self.calibration.threshold(far), *self.calibration.band(far))
        )
        similarity = float(np.dot(*(self._embedding(face) for face in (a, b))))
        verdict = SAME if similarity >= high else DIFFERENT if similarity < low else UNCERTAIN
        return Verification(verdict, similarity, threshold, far, self.model_id, a, b)

    def _embedding(self, face: Face) -> np.ndarray:
        """(D,) float64 after checking that it can be compared."""
        embedding = np.asarray([] if face.embedding is None else face.embedding, np.float64)
        wanted = f"{self.embedder.dimension} finite numbers of length 1"
        if embedding.shape != (self.embedder.dimension,) or not abs(np.linalg.norm(embedding) - 1) < 1e-3:
            raise FaceError("<face>", BAD_EMBEDDING, f"expected an embedding of {wanted}")
        return embedding


def only(faces: Faces, source: ImageSource, *, largest: bool = False) -> Face:
    """The face of a picture that shows one; arguments and errors are those of `FaceRecognizer.face`."""
    name = os.fsdecode(source) if isinstance(source, str | os.PathLike) else "<picture>"
    if len(faces) == 0:
        raise FaceError(name, NO_FACE, "no face found")
    if len(faces) > 1 and not largest:
        raise FaceError(name, SEVERAL_FACES, f"shows {len(faces)} faces; crop it to one or ask for the largest")
    return faces[int(np.argmax([quality.size for quality in faces.quality]))]
