"""Mixed precision is used where it is not slower."""

from __future__ import annotations

import pytest
import torch

from ruska.compute.precision import autocast, multiplies_bf16


@pytest.mark.parametrize("has_it", [True, False])
def test_bf16_is_fp32_on_a_processor_that_cannot_multiply_it(monkeypatch, has_it):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has_it, raising=False)
    network, inputs = torch.nn.Linear(8, 1), torch.ones(4, 8)
    with autocast("cpu", "bf16"):
        assert network(inputs).dtype == (torch.bfloat16 if has_it else torch.float32)
    with autocast("cpu", "fp16"):  # is asked for by name
        assert network(inputs).dtype == torch.float16
    assert multiplies_bf16("cuda")
