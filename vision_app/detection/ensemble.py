"""Several detectors as one, and one that looks several times: weighted boxes fusion joins what they find."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vision_app.detection.detector import DetectOptions, Detector, narrowed
from vision_app.detection.fusion import fuse
from vision_app.detection.stages import Stages
from vision_app.errors import UsageError
from vision_app.images import RGBImage
from vision_app.results import Detections

# What each member finds before fusion, whatever the user asks for. Measured with yolo and test-time augmentation on VOC
# val: joining scores down to 0.01 takes nine times as long, and AP is 0.1 points lower. A second box of one member on
# one object counts as an opinion of its own and pulls the mean score down: with an IoU of 0.6, AP lost 4.6 points more.
MEMBER = DetectOptions(confidence=0.1, iou=0.5, max_detections=300)
OVERLAP = 0.55  # IoU above which boxes of the members are of one object: the paper's
SCALES = (0.77, 1.0, 1.23)  # of the input size, for test-time augmentation
# A fused score is a mean over all members, those that missed the object included, and so lower than theirs. The best F1
# of yolo with test-time augmentation on VOC val is at 0.42, that of yolo alone at 0.44.
CONFIDENCE = 0.95  # default confidence as a share of the members'


class Joint(Detector):
    """Detectors that answer as one. Landmarks are left out of the answers.

    Attributes:
        members: the detectors, each with the same say.
    """

    def __init__(self, name: str, members: Sequence[Detector]):
        self.name, self.members = name, tuple(members)
        first, devices = members[0], [member.device for member in members]
        confidence = CONFIDENCE * sum(member.defaults["confidence"] for member in members) / len(members)
        self.classes, self.defaults = first.classes, {**first.defaults, "confidence": round(confidence, 2)}
        self.runtime = "+".join(dict.fromkeys(member.runtime for member in members))
        self.device = next((device for device in devices if device != "cpu"), "cpu")

    @property
    def digest(self) -> str:
        essence = repr((type(self).__name__, MEMBER, OVERLAP, SCALES, [member.digest for member in self.members]))
        return hashlib.sha256(essence.encode()).hexdigest()

    @property
    def target(self) -> int:
        return max(member.target for member in self.members)

    def preprocess(self, images: Sequence[RGBImage]) -> tuple:
        """Pictures -> the inputs of every member."""
        return tuple(member.preprocess(images) for member in self.members)

    def join(self, parts: Sequence[tuple]) -> tuple:
        return tuple(member.join(part) for member, *part in zip(self.members, *parts, strict=True))

    def forward(self, inputs: tuple, stages: Stages | None = None) -> tuple:
        """What every member's network says; `stages` takes the times of all together."""
        return tuple(member.forward(part, stages) for member, part in zip(self.members, inputs, strict=True))

    def postprocess(self, raw: tuple, options: DetectOptions = DetectOptions()) -> list[Detections]:
        """What the members find at a low confidence, joined; only then the user's options apply."""
        options = options.resolved(self)
        answers = [member.postprocess(part, MEMBER) for member, part in zip(self.members, raw, strict=True)]
        return [narrowed(self._joined(found), options) for found in zip(*answers, strict=True)]

    def _joined(self, answers: Sequence[Detections]) -> Detections:
        """One picture's answer from those of the members."""
        index = {name: i for i, name in enumerate(self.classes)}
        boxes, scores, labels = fuse(
            [answer.boxes for answer in answers],
            [answer.scores for answer in answers],
            [np.array([index[name] for name in answer.labels], np.int64) for answer in answers],
            iou_threshold=OVERLAP,
        )
        names = tuple(self.classes[i] for i in labels)
        return Detections(boxes, scores, names, answers[0].width, answers[0].height, self.name)


class Ensemble(Joint):
    """Several detectors of the same classes.

    Raises:
        UsageError: two of them are the same, or do not know the same classes.
    """

    def __init__(self, members: Sequence[Detector]):
        super().__init__("+".join(member.name for member in members), members)
        self.models = tuple(model for member in members for model in member.models)
        first, seen = members[0], {}
        for member in members:
            if (twin := seen.setdefault(member.digest, member)) is not member:
                names = member.name if member.name == twin.name else f"{twin.name} and {member.name}"
                raise UsageError(f"--model {self.name}: {names} is the same model twice; name it once")
            if strange := sorted({*member.classes} ^ {*first.classes}):
                some = ", ".join(strange[:5]) + (" and others" if len(strange) > 5 else "")
                problem = f"only one of {first.name} and {member.name} knows {some}"
                raise UsageError(f"--model {self.name}: {problem}; join models of the same classes")

    def scaled(self, factor: float) -> "Ensemble":
        return Ensemble([member.scaled(factor) for member in self.members])


class Augmented(Joint):
    """A detector that looks at each picture at three sizes, and at each size in a mirror, too.

    This is test-time augmentation. It finds more than one look does, and gives the network six times the work.

    Raises:
        UsageError: the detector has a size of its own; see `Detector.scaled`.
    """

    def __init__(self, detector: Detector):
        sizes = [detector.scaled(factor) for factor in SCALES]
        super().__init__(f"{detector.name} (tta)", [view for one in sizes for view in (one, Mirrored(one))])
        self.models = detector.models


class Mirrored(Detector):
    """A detector that sees left and right changed over; its boxes are those of the picture as it is."""

    def __init__(self, detector: Detector):
        self.detector, self.name, self.models = detector, detector.name, detector.models
        self.classes, self.defaults = detector.classes, detector.defaults
        self.runtime, self.device, self.target = detector.runtime, detector.device, detector.target

    def preprocess(self, images: Sequence[RGBImage]) -> Any:
        return self.detector.preprocess(
            [replace(one, pixels=np.ascontiguousarray(one.pixels[:, ::-1])) for one in images]
        )

    def join(self, parts: Sequence[Any]) -> Any:
        return self.detector.join(parts)

    def forward(self, inputs: Any, stages: Stages | None = None) -> Any:
        return self.detector.forward(inputs, stages)

    def postprocess(self, raw: Any, options: DetectOptions = DetectOptions()) -> list[Detections]:
        return [_mirror(found) for found in self.detector.postprocess(raw, options)]


def _mirror(found: Detections) -> Detections:
    """The same objects with left and right changed over; landmarks are left out."""
    x1, y1, x2, y2 = found.boxes.T
    boxes = np.stack([found.width - x2, y1, found.width - x1, y2], axis=1)
    return replace(found, boxes=boxes, landmarks=None)
