import os

import pytest

from salbench import runtime
from salbench.runtime import Runtime


def test_defaults():
    assert (Runtime().device, Runtime().batch_size, Runtime().workers) == ("cpu", 1, os.cpu_count())


def test_networks_on_a_gpu_take_eight_images_together(monkeypatch):
    monkeypatch.setattr(runtime, "check_device", lambda device: device)
    assert Runtime(device="cuda:1").batch_size == 8
    assert Runtime(device="cuda:1", batch_size=3).batch_size == 3


def test_a_device_that_torch_does_not_know():
    with pytest.raises(ValueError, match="device: expected a device that torch can use here, got 'abacus'"):
        Runtime(device="abacus")
