"""Measure detectors, each alone in a process of its own, image by image; what they cost and how they ran.

>>> with Worker(DetectorSpec("yolo")) as worker:
...     rows = list(worker.rows(["photo.jpg"]))
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import cv2

from vision_app.core.child_process import ChildKilledError, ChildProcess, give_way
from vision_app.core.errors import ImageError, ModelError, VisionAppError
from vision_app.core.images import RGBImage
from vision_app.detection.base import DetectOptions, Detector
from vision_app.detection.load import load_detector
from vision_app.released.execution import Execution

CRASHED = "crashed the process that ran the model, most likely by running out of memory"

T = TypeVar("T")


@dataclass(frozen=True)
class DetectorSpec:
    """A detector by name, and how it runs.

    Attributes:
        model: What `Detector.load` takes.
        tta: Whether to use test-time augmentation.
        execution: Device, runtime and threads (those of OpenCV, too); only torch tells the stages of a network apart.
    """

    model: str
    tta: bool = False
    execution: Execution = Execution(runtime="torch")

    @property
    def name(self) -> str:
        """The name in tables."""
        return f"{self.model} (tta)" if self.tta else self.model

    def load(self) -> Detector:
        """Load the detector; errors are those of `Detector.load`."""
        return load_detector(self.model, tta=self.tta, **vars(self.execution))


@dataclass(frozen=True)
class Cost:
    """What does not depend on the machine; None where it is not known.

    Attributes:
        parameters: Number of trained parameters of all networks.
        multiply_adds: Those of convolutions and matrix products, for one image. What is no network and no such layer
            counts nothing: proposals by selective search, pooling, RoIAlign, non-max suppression.
    """

    parameters: int | None = None
    multiply_adds: int | None = None


@dataclass(frozen=True)
class Conditions:
    """How one detector ran, without any "auto" or default.

    Attributes:
        confidence: Lowest score of its objects.
        device: "cpu", "cuda" or "cuda:N".
        runtime: "onnx" or "torch".
        threads: Threads of the network on a CPU; None if ONNX Runtime chose, which does not tell.
    """

    confidence: float
    device: str
    runtime: str
    threads: int | None

    @classmethod
    def of(cls, detector: Detector, options: DetectOptions, threads: int | None = None) -> "Conditions":
        """Return the conditions of a detector that was just loaded with so many threads.

        Raises:
            UsageError: See `DetectOptions.resolved`.
        """
        confidence = float(options.resolved(detector).confidence)
        if threads is None and detector.runtime == "torch":
            import torch

            threads = torch.get_num_threads()
        return cls(confidence, detector.device, detector.runtime, threads)

    def __str__(self) -> str:
        threads = "threads as ONNX Runtime chooses" if self.threads is None else f"threads: {self.threads}"
        return f"{self.runtime} on {self.device}, {threads}"


@dataclass(frozen=True)
class Run:
    """What all detectors of a comparison have in common.

    Attributes:
        version: Version of Vision App.
        cores: Number of cores that the comparison may use.
        truth: Name of the file or folder with the ground truth, None without.
    """

    version: str
    cores: int
    truth: str | None = None


class Worker:
    """A process that loads one detector and does nothing but run it; a context manager, which ends the process.

    Args:
        spec: The detector.
        options: What counts as an object.
        doubtful: If given, rows also tell what is found under these options, which is not timed: an average precision
            needs the doubtful boxes too (`evaluation.MEASURING`).

    Attributes:
        name: Name of the detector in tables.
        digest: See `Detector.digest`.
        classes: Names of its classes.
        conditions: How it runs.

    Raises:
        VisionAppError: The process was killed while it loaded the detector or counted its cost; or as `Detector.load`
            and `DetectOptions.resolved`.
    """

    digest: str
    classes: tuple[str, ...]
    conditions: Conditions

    def __init__(
        self, spec: DetectorSpec, options: DetectOptions = DetectOptions(), doubtful: DetectOptions | None = None
    ):
        self._spec, self.name = spec, spec.name
        self._options, self._doubtful = options, doubtful
        self._start_process()

    def _start_process(self) -> None:
        self._child = ChildProcess()
        try:
            started = self._call(_start, self._spec, self._options, self._doubtful)
            self.digest, self.classes, self.conditions, self._parameters = started
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.__exit__()

    def rows(self, files: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Run the detector over images, one at a time, the first one after a warm-up.

        Yields:
            One row per image: `file`, `status` ("ok" or "failed"), `error`, `width`, `height`, `model` (the name in
            tables), `detections`, `milliseconds` by stage from the decoded image to the boxes, `memory`, the most
            megabytes of main memory that the process has used so far, None where the system does not tell, and
            `doubtful`.
        """
        return map(self._row, files)

    def _row(self, file: str) -> dict[str, Any]:
        """Return the row of an image; it is a failed one if the image ends a process in which it is the first."""
        for _ in range(2):
            try:
                return self._child.call(_apply, _Runner.row, file)
            except ChildKilledError:
                self._child.__exit__()
                self._start_process()
        return _failed(file, self.name, CRASHED)

    def cost(self, file: str | None = None) -> Cost:
        """Count parameters and, with an image file, multiply-adds, by running it under torch's own counter.

        This works the same way for every kind of detector, since each may run its networks several times per image or
        on parts of it. A detector that does not run on torch is loaded on it for this, if it can be.

        Raises:
            ImageError: The image cannot be read.
        """
        if file is None or self.conditions.runtime == "torch":
            multiply_adds = None if file is None else self._call(_apply, _Runner.multiply_adds, file)
        else:
            try:
                detector = replace(self._spec, execution=Execution("cpu", "torch")).load()
                multiply_adds = count_multiply_adds(detector, file)
            except ModelError:  # an exported ONNX file, which nothing counts in
                multiply_adds = None
        return Cost(self._parameters, multiply_adds)

    def _call(self, function: Callable[..., T], *arguments: object) -> T:
        """Return what a function gives in the process."""
        try:
            return self._child.call(function, *arguments)
        except ChildKilledError:
            raise VisionAppError(f"the process that ran {self.name} was killed, probably out of memory") from None


class _Runner:
    """The detector in its process."""

    def __init__(self, spec: DetectorSpec, options: DetectOptions, doubtful: DetectOptions | None):
        self.spec, self.detector = spec, spec.load()
        self._options = options.resolved(self.detector)
        self._doubtful = doubtful and doubtful.resolved(self.detector)
        self._is_warm = False
        if spec.execution.threads:
            cv2.setNumThreads(spec.execution.threads)

    def row(self, file: str) -> dict[str, Any]:
        try:
            image = self.detector.read(file)
            if not self._is_warm:  # the first pass of a network makes its plans and takes its memory
                self._measured(image)
                self._is_warm = True
            return {"file": file, "status": "ok", "error": None} | self._measured(image)
        except Exception as error:
            reason = error.reason if isinstance(error, ImageError) else f"{type(error).__name__}: {error}"
            return _failed(file, self.spec.name, reason)

    def multiply_adds(self, file: str) -> int:
        return count_multiply_adds(self.detector, file)

    def _measured(self, image: RGBImage) -> dict[str, Any]:
        raw, stages = self.detector.timed(image)
        with stages.stage("nms"):
            (found,) = self.detector.postprocess(raw, self._options)
        times = {name: round(time, 3) for name, time in stages.times.items()}
        row = found.to_dict() | {"model": self.spec.name, "milliseconds": times, "memory": peak_memory()}
        if self._doubtful:
            (found,) = self.detector.postprocess(raw, self._doubtful)
            row["doubtful"] = found.to_dict()["detections"]
        return row


def _failed(file: str, model: str, reason: str) -> dict[str, Any]:
    """Return the row of an image that could not be measured."""
    row = {"file": file, "status": "failed", "error": reason, "width": None, "height": None}
    return row | {"model": model, "detections": []}


_runners: list[_Runner] = []  # the one of this process, if a `Worker` started it


def _start(
    spec: DetectorSpec, options: DetectOptions, doubtful: DetectOptions | None
) -> tuple[str, tuple[str, ...], Conditions, int | None]:
    runner = _Runner(spec, options, doubtful)
    _runners.append(runner)
    give_way()
    detector = runner.detector
    conditions = Conditions.of(detector, options, spec.execution.threads)
    return detector.digest, detector.classes, conditions, count_parameters(detector)


def _apply(function: Callable[..., T], *arguments: object) -> T:
    return function(_runners[0], *arguments)


def count_parameters(detector: Detector) -> int | None:
    """Return the number of trained parameters of a detector's networks, None where its models do not tell."""
    counts = [model.info["parameters"] for model in detector.models if "parameters" in model.info]
    return sum(counts) if 0 < len(counts) == len(detector.models) else None


def count_multiply_adds(detector: Detector, file: str) -> int:
    """Return the multiply-adds of a detector on torch for an image."""
    from torch.utils.flop_counter import FlopCounterMode

    inputs = detector.preprocess([detector.read(file)])
    with FlopCounterMode(display=False) as counter:
        detector.forward(inputs)
    return int(counter.get_total_flops()) // 2  # a multiply-add is two operations


def peak_memory() -> float | None:
    """Return the most main memory that this process has used at once, in megabytes; None where it is not known.

    Linux's VmHWM, since `getrusage` counts what the process had in common with the one that started it.
    """
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) * 1024 / 1e6, 1)
