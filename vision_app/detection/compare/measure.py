"""Detectors measured one after the other, each alone in a process of its own, picture by picture.

>>> rows = list(measure(Contender("yolo"), ["photo.jpg"]))
"""

import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import cv2

from vision_app.core.errors import ImageError, ModelError, VisionAppError
from vision_app.core.images import ImageSource, RGBImage
from vision_app.detection.base import DetectOptions, Detector
from vision_app.detection.load import load_detector


@dataclass(frozen=True)
class Contender:
    """A detector and how it runs.

    Attributes:
        model: what `Detector.load` takes.
        tta: whether it looks at flipped and scaled copies too.
        device: "auto", "cpu", "cuda" or "cuda:N".
        runtime: "auto", "onnx" or "torch"; only torch tells the stages of a network apart.
        threads: of the network and of OpenCV on a CPU; by default all cores.
    """

    model: str
    tta: bool = False
    device: str = "auto"
    runtime: str = "torch"
    threads: int | None = None

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{self.model} (tta)" if self.tta else self.model

    def load(self) -> Detector:
        """The detector; errors are those of `Detector.load`."""
        return load_detector(self.model, device=self.device, runtime=self.runtime, threads=self.threads, tta=self.tta)


def measure(
    contender: Contender,
    files: Iterable[str],
    options: DetectOptions = DetectOptions(),
    doubtful: DetectOptions | None = None,
) -> Iterator[dict]:
    """Runs a detector over pictures, one at a time after a warm-up, in a process that does nothing else.

    Args:
        contender: the detector.
        files: paths of the pictures.
        options: what counts as found.
        doubtful: if given, rows also tell what is found under these options, which no time is taken of: an average
            precision needs the doubtful boxes too (`evaluate.MEASURING`).

    Yields:
        One row a picture: `file`, `status` ("ok" or "failed"), `error`, `width`, `height`, `model` (the contender's
        name), `detections`, `milliseconds` by stage from the decoded picture to the boxes, `memory`, the most megabytes
        of main memory that the process has held so far, None where the system does not tell, and `doubtful`.

    Raises:
        VisionAppError: the process was ended from outside; or as `Detector.load` and `DetectOptions.resolved`.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            pool.submit(_start, contender, options, doubtful).result()
            for file in files:
                yield pool.submit(_look, file).result()
        except BrokenProcessPool:
            raise VisionAppError(
                f"the process that ran {contender.name} was ended from outside, most likely for want of memory"
            ) from None


class _Runner:
    """The detector in its process."""

    def __init__(self, contender: Contender, options: DetectOptions, doubtful: DetectOptions | None):
        self._name, self._detector = contender.name, contender.load()
        self._options, self._doubtful = options.resolved(self._detector), doubtful
        self._is_warm = False
        if contender.threads:
            cv2.setNumThreads(contender.threads)

    def row(self, file: str) -> dict:
        row = {"file": file, "status": "ok", "error": None}
        try:
            image = self._detector.read(file)
            if not self._is_warm:  # the first pass of a network makes its plans and takes its memory
                self._answer(image)
                self._is_warm = True
            return row | self._answer(image)
        except Exception as error:
            reason = error.reason if isinstance(error, ImageError) else f"{type(error).__name__}: {error}"
            nothing = {"width": None, "height": None, "model": self._name, "detections": []}
            return row | {"status": "failed", "error": reason} | nothing

    def _answer(self, image: RGBImage) -> dict:
        detector = self._detector
        raw, stages = detector.timed(image)
        with stages.stage("nms"):
            (found,) = detector.postprocess(raw, self._options)
        times = {name: round(time, 3) for name, time in stages.times.items()}
        answer = found.to_dict() | {"model": self._name, "milliseconds": times, "memory": peak_memory()}
        if self._doubtful:
            (found,) = detector.postprocess(raw, self._doubtful)
            answer["doubtful"] = found.to_dict()["detections"]
        return answer


_runner: _Runner | None = None  # of the process that `measure` starts


def _start(contender: Contender, options: DetectOptions, doubtful: DetectOptions | None) -> None:
    global _runner
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the one who asked ends this process
    _runner = _Runner(contender, options, doubtful)


def _look(file: str) -> dict:
    return _runner.row(file)


def peak_memory() -> float | None:
    """The most main memory that this process has held at once, in megabytes; None where the system does not tell.

    Linux's VmHWM, since `getrusage` counts what the process had in common with the one that started it.
    """
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) * 1024 / 1e6, 1)


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


@dataclass(frozen=True)
class Conditions:
    """How one detector ran, without any "auto" or default.

    Attributes:
        confidence: lowest score of its objects.
        device: "cpu", "cuda" or "cuda:N".
        runtime: "onnx" or "torch".
        threads: of the network on a CPU; None if ONNX Runtime chose, which does not tell.
    """

    confidence: float
    device: str
    runtime: str
    threads: int | None

    @classmethod
    def of(cls, detector: Detector, options: DetectOptions, threads: int | None = None) -> "Conditions":
        """Those of a detector that was just loaded with so many threads.

        Raises:
            UsageError: see `DetectOptions.resolved`.
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
        version: of Vision App.
        cores: that the comparison may use.
        truth: the name of the file or folder with the true boxes, None without.
    """

    version: str
    cores: int
    truth: str | None = None
