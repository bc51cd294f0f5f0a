"""Live video: the newest frame is analyzed while others pass, and these show the latest results.

No frame is kept, and none waits: one that comes while another is being analyzed passes by.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread

import numpy as np

from vision_app.core.draw import draw
from vision_app.core.images import RGBImage, read_image
from vision_app.core.results import Detections, NoTruthValue
from vision_app.faces import calibration
from vision_app.faces.challenge import Challenge
from vision_app.faces.gallery.audit import AuditLog
from vision_app.faces.gallery.gallery import Gallery
from vision_app.faces.gallery.results import KNOWN, UNKNOWN, caption
from vision_app.faces.quality import Quality
from vision_app.faces.recognizer import FaceRecognizer
from vision_app.faces.results import UNCERTAIN, Faces

FRESH = 1.0  # seconds for which the result of a frame is drawn on others: a face may have gone, and another come
PERIOD = 3.0  # seconds that frames are counted over


@dataclass(frozen=True)
class Question:
    """What is to be answered for each frame.

    Attributes:
        person: Verify each face as this person's; None: identify it among all people.
        rate: How often a stranger may pass: for one person the false accept rate, for all people the false positive
            identification rate; None: the default.
        objects: Detects objects as well, if given.
    """

    person: str | None = None
    rate: float | None = None
    objects: Callable[[RGBImage], Detections] | None = None


@dataclass(frozen=True)
class LiveVerdict(NoTruthValue):
    """The answer for one face.

    Attributes:
        name: Who it is; None: nobody known, not the person asked for, or not certain.
        verdict: "same" or "different" where a person was asked for, otherwise "known" or "unknown"; or "uncertain".
        similarity: To the person or, of all people, to the nearest one; None in an empty gallery.
        quality: How well the face can be recognized.
    """

    instead = "name"
    name: str | None
    verdict: str
    similarity: float | None
    quality: Quality

    @property
    def label(self) -> str:
        """The name or, where there is none, that the face is unknown or uncertain."""
        return self.name or (UNCERTAIN if self.verdict == UNCERTAIN else UNKNOWN)

    @property
    def caption(self) -> str:
        """The text at the face, such as "Ada 0.71 same"."""
        asked = self.verdict not in (KNOWN, UNKNOWN, UNCERTAIN)
        return caption(self.label, self.similarity) + (f" {self.verdict}" if asked else "")


@dataclass(frozen=True, eq=False)
class LiveResult:
    """The answers for one frame.

    Attributes:
        seconds: When the frame came, on the clock of the `Watch`.
        verdicts: One for each face.
        threshold: The similarity from which a face is a person's; None in an empty gallery.
        rate: How often a stranger passes at that threshold, see `Question`.
        model_id: Id of the model that made the embeddings.
        detections: Faces and objects, labeled as they are drawn.
        captions: The text at each of them.
    """

    seconds: float
    verdicts: tuple[LiveVerdict, ...]
    threshold: float | None
    rate: float
    model_id: str
    detections: Detections
    captions: tuple[str, ...]


class FrameRate:
    """How often something happens, on the mean of the last `PERIOD` seconds."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=1000)

    def count(self, seconds: float) -> None:
        """Note that it happened at this time."""
        self._times.append(seconds)

    def per_second(self, seconds: float) -> float:
        """Return the rate at this time."""
        return sum(seconds - then < PERIOD for then in tuple(self._times)) / PERIOD


class Watch:
    """Watches a video and recognizes the people in it.

    Attributes:
        path: The gallery's file, open while there are frames.
        question: What is to be answered; it may be replaced at any time.
        challenge: How far it has come, if there is one.
        latest: The latest result, or None.
        error: Why the latest analysis failed, or None.
        frames, analyzed: How often a frame came, and how often one was analyzed.
    """

    def __init__(self, path: Path, recognizer: FaceRecognizer, clock: Callable[[], float] = time.monotonic):
        self.path, self.clock = path, clock
        self.question = Question()
        self.challenge: Challenge | None = None
        self.latest: LiveResult | None = None
        self.error: Exception | None = None
        self.frames, self.analyzed = FrameRate(), FrameRate()
        self._recognizer = recognizer
        self._gallery: Gallery | None = None
        self._busy, self._turn = Lock(), Lock()

    def show(self, pixels: np.ndarray) -> np.ndarray:
        """Draw the latest result on a frame, and analyze it unless another one is being analyzed. Never waits.

        Args:
            pixels: (H, W, 3) uint8 RGB.

        Returns:
            (H, W, 3) uint8 RGB, a new array.
        """
        now, latest = self.clock(), self.latest
        self.frames.count(now)
        if self._busy.acquire(blocking=False):
            Thread(target=self._analyze, args=(pixels, now), daemon=True).start()
        if latest is None or now - latest.seconds > FRESH:
            return pixels.copy()
        return draw(pixels, latest.detections, latest.captions)

    def set_challenge(self, challenge: Challenge | None) -> None:
        """Begin a challenge, or end the present one."""
        with self._turn:
            self.challenge = challenge

    def stop(self) -> None:
        """End the video: close the gallery and drop all results, as soon as the last analysis is done."""
        Thread(target=self._release, daemon=True).start()

    def _release(self) -> None:
        with self._busy:
            if self._gallery is not None:
                self._gallery.close()
            self._gallery = self.latest = self.error = None
            self.set_challenge(None)

    def _analyze(self, pixels: np.ndarray, seconds: float) -> None:
        """Analyze a frame; `_busy` is locked, and released at the end."""
        try:
            self.latest, self.error = self._answer(pixels, seconds), None
            self.analyzed.count(self.clock())
        except Exception as error:  # the video continues; the page says why there is no result
            self.latest, self.error = None, error.with_traceback(None)  # which would keep the frame
        finally:
            self._busy.release()

    def _answer(self, pixels: np.ndarray, seconds: float) -> LiveResult:
        if self._gallery is None:
            self._gallery = Gallery.open(self.path, readonly=True, recognizer=self._recognizer)
            self._gallery.audit = FirstTimes(self.path)
        question, image = self.question, read_image(pixels)
        faces = self._recognizer(image)
        default = calibration.FPIR if question.person is None else calibration.FAR
        rate = default if question.rate is None else question.rate
        verdicts, threshold = self._verdicts(self._gallery, faces, question.person, rate)
        with self._turn:
            if self.challenge is not None:
                alone = len(faces) == 1
                landmarks, who = (faces.landmarks[0], verdicts[0].name) if alone else (None, None)
                self.challenge = self.challenge.follow(landmarks, seconds, who)
        boxes, scores, labels = faces.boxes, faces.scores, [one.label for one in verdicts]
        captions = [one.caption for one in verdicts]
        if question.objects is not None:
            objects = question.objects(image)
            boxes, scores = np.concatenate([boxes, objects.boxes]), np.concatenate([scores, objects.scores])
            labels += objects.labels
            captions += [f"{one.label} {one.score:.2f}" for one in objects]
        detections = Detections(boxes, scores, tuple(labels), faces.width, faces.height, faces.model)
        return LiveResult(seconds, tuple(verdicts), threshold, rate, str(faces.model_id), detections, tuple(captions))

    def _verdicts(
        self, gallery: Gallery, faces: Faces, person: str | None, rate: float
    ) -> tuple[list[LiveVerdict], float | None]:
        """Return who of all people each face is, or whether it is the person's; also the threshold."""
        if person is None:
            who = gallery.identify_faces(faces, fpir=rate)
            named = [(one.name, one.verdict, one.similarity) for one in who.faces]
            threshold = who.threshold
        else:
            answers = [gallery.verify_face(face, person, far=rate) for face in faces]
            named = [(person if one.same else None, one.verdict, one.similarity) for one in answers]
            threshold = answers[0].threshold if answers else self._recognizer.calibration.threshold(rate)
        return [LiveVerdict(*one, quality) for one, quality in zip(named, faces.quality, strict=True)], threshold


class FirstTimes(AuditLog):
    """The audit log of a video: a line for each person who appears in it, not one for each frame."""

    def __init__(self, gallery: Path):
        super().__init__(gallery)
        self._told: set[tuple[str, tuple[int, ...]]] = set()

    def write(self, action: str, people: Iterable[int], **counts: int) -> None:
        """Add a line unless the same was done with the same people before; see `AuditLog.write`."""
        told = action, (*people,)
        if told not in self._told:
            super().write(action, told[1], **counts)
            self._told.add(told)
