"""The formulas of windows, held to real convolutions and to the sum that defines a receptive field."""

from math import prod

import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.nn import functional as F

from vision_app.summary.rules import Axis


@given(
    size=st.integers(1, 40), kernel=st.integers(1, 7), stride=st.integers(1, 4), padding=st.integers(0, 3),
    dilation=st.integers(1, 3),
)  # fmt: skip
def test_the_output_size_is_that_of_a_real_convolution(size, kernel, stride, padding, dilation):
    assume(size + 2 * padding >= dilation * (kernel - 1) + 1)
    real = F.conv1d(torch.zeros(1, 1, size), torch.zeros(1, 1, kernel), None, stride, padding, dilation)
    assert Axis(size).slide(kernel, stride, (padding, padding), dilation).size == real.shape[2]


@given(st.lists(st.tuples(st.integers(1, 7), st.integers(1, 3)), min_size=1, max_size=6))
def test_the_receptive_field_of_a_chain_is_the_sum_of_the_formula(chain):
    axis = Axis(10**6)
    for kernel, stride in chain:
        axis = axis.slide(kernel, stride)
    strides = [1, *(stride for _, stride in chain)]  # S_0 = 1
    assert axis.reach == 1 + sum((kernel - 1) * prod(strides[: j + 1]) for j, (kernel, _) in enumerate(chain))
