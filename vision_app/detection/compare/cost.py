"""What a detector costs whoever runs it: parameters and multiply-adds."""

from dataclasses import dataclass, replace

from vision_app.detection.compare.measure import Contender
from vision_app.detection.detector import Detector
from vision_app.errors import ModelError
from vision_app.images import ImageSource


@dataclass(frozen=True)
class Cost:
    """What does not depend on the machine; None where it is not known.

    Attributes:
        parameters: trained numbers of all networks.
        multiply_adds: of convolutions and matrix products, for one picture. What is no network and no such layer
            counts nothing: proposals by selective search, pooling, RoIAlign, non-max suppression.
    """

    parameters: int | None = None
    multiply_adds: int | None = None

    @classmethod
    def of(cls, contender: Contender, source: ImageSource | None = None) -> "Cost":
        """Loads a detector once more and counts; with a picture, runs it under torch's own counter.

        The same way for every kind of detector, since each may look at a picture several times or at parts of it.

        Raises:
            ModelError, UsageError: see `Detector.load`.
            ImageError: the picture cannot be read.
        """
        try:
            detector = replace(contender, device="cpu", runtime="torch").load()
        except ModelError:  # an exported ONNX file, which nothing counts in
            return cls(count_parameters(contender.load()))
        return cls(count_parameters(detector), None if source is None else _multiply_adds(detector, source))


def count_parameters(detector: Detector) -> int | None:
    """Trained numbers of all networks of a detector, None where its models do not tell."""
    counts = [model.info.get("parameters") for model in detector.models]
    return None if not counts or None in counts else sum(counts)


def _multiply_adds(detector: Detector, source: ImageSource) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    inputs = detector.preprocess([detector.read(source)])
    with FlopCounterMode(display=False) as counter:
        detector.forward(inputs)
    return counter.get_total_flops() // 2  # a multiply-add is two operations
