"""Under which conditions detectors were compared: what speed and agreement depend on beside the models."""

from dataclasses import dataclass

from vision_app.detection.detector import DetectOptions, Detector


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
