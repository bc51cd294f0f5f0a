"""Loading a stylizer by method."""

import pytest

from vision_app import Stylizer
from vision_app.core.errors import UsageError


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        (None, {}, "method None: must be one of optimize, fast, color"),
        ("paint", {}, "method paint: must be one of optimize, fast, color"),
        ("color", {"model": "style-fast"}, "model style-fast: method color has no network; leave it out"),
        ("fast", {"encoder": "vgg19"}, "encoder vgg19: belongs to method optimize, not to fast; leave it out"),
        ("optimize", {"runtime": "onnx"}, "runtime onnx: method optimize needs gradients"),
    ],
)
def test_contradictory_options_are_refused(method, given, message):
    with pytest.raises(UsageError) as error:
        Stylizer.load(method, **given)
    assert str(error.value).startswith(message)
