"""Model folders: what writing one says and leaves unsaid."""

import warnings

import onnxruntime
import torch

from vision_app.released.write import PIXELS, write_onnx


class Reversed(torch.nn.Module):
    """Weighs the three channels in reverse order; the exporter tries to compute the reversed weights in advance."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, pixels):
        return (pixels.float() * self.weight.flip(0)).sum(-1)


def test_the_exporter_keeps_its_attempts_to_itself_and_nothing_else(tmp_path, monkeypatch):
    export = torch.onnx.export

    def complaining(*words, **options):
        warnings.warn("something else", stacklevel=1)
        export(*words, **options)

    monkeypatch.setattr(torch.onnx, "export", complaining)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        write_onnx(Reversed().eval(), tmp_path / "model.onnx", {"predictions": PIXELS})
    assert [str(one.message) for one in seen] == ["something else"]
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    pixels = torch.arange(24, dtype=torch.uint8).reshape(1, 2, 4, 3).numpy()
    assert (session.run(None, {"pixels": pixels})[0] == pixels @ [3, 2, 1]).all()
