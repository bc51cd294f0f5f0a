"""Live video: the newest frame is looked at while others pass, and these show what was just seen.

No frame is kept, and none waits: one that comes while another is being looked at passes by.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread

import numpy as np

from vision_app.core.draw import draw
from vision_app.core.images import read_image
from vision_app.core.results import Detections
from vision_app.detection.base import Detector
from vision_app.faces import calibration
from vision_app.faces.challenge import Challenge
from vision_app.faces.gallery import Gallery
from vision_app.faces.gallery.audit import AuditLog
from vision_app.faces.gallery.results import UNKNOWN
from vision_app.faces.quality import Quality
from vision_app.faces.recognizer import FaceRecognizer
from vision_app.faces.results import SAME, Faces

KNOWN = "known"
FRESH = 1.0  # seconds for which what was seen in a frame is drawn on others: a face may have gone, and another come
PERIOD = 3.0  # seconds that frames are counted over


@dataclass(frozen=True)
class Question:
    """What is to be said of each frame.

    Attributes:
        person: whether a face is this person's; None: whose of all people it is.
        rate: how often a stranger may pass: for one person the false accept rate, for all people the false positive
            identification rate; None: as usual.
        objects: also finds these.
    """

    person: str | None = None
    rate: float | None = None
    objects: Detector | None = None


@dataclass(frozen=True)
class Verdict:
    """What is said of one face.

    Attributes:
        name: who it is; None: nobody known, or not the person asked for.
        verdict: "same", "different" or "uncertain" where a person was asked for, otherwise "known" or "unknown".
        similarity: to the person or, of all people, to the nearest one; None in an empty gallery.
        quality: how well the face can be recognized.
    """

    name: str | None
    verdict: str
    similarity: float | None
    quality: Quality

    @property
    def caption(self) -> str:
        """What is written at the face, such as "Ada 0.71 same"."""
        similarity = "" if self.similarity is None else f" {self.similarity:.2f}"
        return f"{self.name or UNKNOWN}{similarity}" + ("" if self.verdict in (KNOWN, UNKNOWN) else f" {self.verdict}")


@dataclass(frozen=True, eq=False)
class Seen:
    """What was seen in one frame.

    Attributes:
        seconds: when the frame came, on the clock of the `Watch`.
        verdicts: one for each face.
        threshold: the similarity from which a face is somebody; None in an empty gallery.
        rate: how often a stranger passes at that threshold, see `Question`.
        contract: id of the model that made the embeddings.
        found: faces and objects, labeled as they are drawn.
        captions: what is written at each of them.
    """

    seconds: float
    verdicts: tuple[Verdict, ...]
    threshold: float | None
    rate: float
    contract: str
    found: Detections
    captions: tuple[str, ...]


class Pace:
    """How often something happens, on the mean of the last `PERIOD` seconds."""

    def __init__(self):
        self._times: deque[float] = deque(maxlen=1000)

    def count(self, seconds: float) -> None:
        """Something happened now."""
        self._times.append(seconds)

    def per_second(self, seconds: float) -> float:
        return sum(seconds - then < PERIOD for then in tuple(self._times)) / PERIOD


class Watch:
    """Looks at a video and says who is in it.

    Attributes:
        path: the gallery's file, open while there are frames.
        question: what is to be said; it may be another one at any time.
        challenge: how far it has come, if there is one.
        seen: what was seen last, or None.
        error: why the last look failed, or None.
        frames, looks: how often a frame came, and how often one was looked at.
    """

    def __init__(self, path: Path, recognizer: FaceRecognizer, clock: Callable[[], float] = time.monotonic):
        self.path, self.clock = path, clock
        self.question = Question()
        self.challenge: Challenge | None = None
        self.seen: Seen | None = None
        self.error: Exception | None = None
        self.frames, self.looks = Pace(), Pace()
        self._recognizer = recognizer
        self._gallery: Gallery | None = None
        self._looking, self._turn = Lock(), Lock()

    def show(self, pixels: np.ndarray) -> np.ndarray:
        """Draws what was just seen on a frame, which is looked at unless another one is. Never waits for a look.

        Args:
            pixels: (H, W, 3) uint8 RGB.

        Returns:
            (H, W, 3) uint8 RGB, a new array.
        """
        now, seen = self.clock(), self.seen
        self.frames.count(now)
        if self._looking.acquire(blocking=False):
            Thread(target=self._look, args=(pixels, now), daemon=True).start()
        if seen is None or now - seen.seconds > FRESH:
            return pixels.copy()
        return draw(pixels, seen.found, seen.captions)

    def set_challenge(self, challenge: Challenge | None) -> None:
        """Begins a challenge, or ends the one that there is."""
        with self._turn:
            self.challenge = challenge

    def rest(self) -> None:
        """The video is over: lets go of the gallery and of all that was seen, as soon as the last look is done."""
        Thread(target=self._let_go, daemon=True).start()

    def _let_go(self) -> None:
        with self._looking:
            if self._gallery is not None:
                self._gallery.close()
            self._gallery = self.seen = self.error = None
            self.set_challenge(None)

    def _look(self, pixels: np.ndarray, seconds: float) -> None:
        """Looks at a frame; `_looking` is held, and released at the end."""
        try:
            self.seen, self.error = self._see(pixels, seconds), None
            self.looks.count(self.clock())
        except Exception as error:  # the video goes on; the page says why nothing is seen
            self.seen, self.error = None, error.with_traceback(None)  # which would hold the frame
        finally:
            self._looking.release()

    def _see(self, pixels: np.ndarray, seconds: float) -> Seen:
        if self._gallery is None:
            self._gallery = Gallery.open(self.path, readonly=True, recognizer=self._recognizer)
            self._gallery.audit = FirstTimes(self.path)
        question, image = self.question, read_image(pixels)
        faces = self._recognizer(image)
        ask = self._identify if question.person is None else self._verify
        verdicts, threshold, rate = ask(faces, question)
        self._follow(faces, verdicts, seconds)
        labels = [one.name or UNKNOWN for one in verdicts]
        found = Detections(faces.boxes, faces.scores, labels, faces.width, faces.height, faces.model)
        captions = [one.caption for one in verdicts]
        if question.objects is not None:
            objects = question.objects(image)
            captions += [f"{one.label} {one.score:.2f}" for one in objects]
            found = _joined(found, objects)
        return Seen(seconds, verdicts, threshold, rate, faces.model_id, found, tuple(captions))

    def _identify(self, faces: Faces, question: Question) -> tuple[tuple[Verdict, ...], float | None, float]:
        """Says who of all people each face is; also the threshold and its rate."""
        rate = calibration.FPIR if question.rate is None else question.rate
        who = self._gallery.identify_faces(faces, fpir=rate)
        verdicts = (
            Verdict(one.name, KNOWN if one.name else UNKNOWN, one.similarity, quality)
            for one, quality in zip(who.faces, faces.quality, strict=True)
        )
        return tuple(verdicts), who.threshold, rate

    def _verify(self, faces: Faces, question: Question) -> tuple[tuple[Verdict, ...], float, float]:
        """Says of each face whether it is the person's; also the threshold and its rate."""
        rate = calibration.FAR if question.rate is None else question.rate
        answers = [self._gallery.verify_face(face, question.person, far=rate) for face in faces]
        verdicts = (
            Verdict(question.person if one.verdict == SAME else None, one.verdict, one.similarity, one.face_a.quality)
            for one in answers
        )
        threshold = answers[0].threshold if answers else self._recognizer.calibration.threshold(rate)
        return tuple(verdicts), threshold, rate

    def _follow(self, faces: Faces, verdicts: tuple[Verdict, ...], seconds: float) -> None:
        """Lets the challenge see the face, if there is one and no other."""
        with self._turn:
            if self.challenge is not None:
                alone = len(faces) == 1
                landmarks, who = (faces.landmarks[0], verdicts[0].name) if alone else (None, None)
                self.challenge = self.challenge.follow(landmarks, seconds, who)


class FirstTimes(AuditLog):
    """The audit log of a video: a line for who appears in it, not one for each frame."""

    def __init__(self, gallery: Path):
        super().__init__(gallery)
        self._told: set[tuple] = set()

    def write(self, action: str, people: Iterable[int], **counts: int) -> None:
        """Adds a line unless the same was done with the same people before; see `AuditLog.write`."""
        key = action, tuple(people)
        if key not in self._told:
            super().write(*key, **counts)
            self._told.add(key)


def _joined(faces: Detections, objects: Detections) -> Detections:
    """Faces and objects of one frame, without landmarks."""
    boxes, scores = (np.concatenate([getattr(part, name) for part in (faces, objects)]) for name in ("boxes", "scores"))
    return Detections(boxes, scores, faces.labels + objects.labels, faces.width, faces.height, faces.model)
