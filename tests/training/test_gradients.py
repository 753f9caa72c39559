"""Norms of gradients, compared with a linear network whose gradients are known, and in the log of a training."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from toys import write_edits

from salbench import registry
from salbench.runtime import Runtime
from salbench.training import gradients
from salbench.training.data import TrainingSet
from salbench.training_plan import Plan

SIZE = (24, 32)


@pytest.fixture
def method(add_learned):
    return registry.create(add_learned("own"), Runtime(progress=False))


@pytest.fixture
def batch(make_spots, tmp_path):
    samples = make_spots(8)
    data = TrainingSet(samples, SIZE, edits=write_edits(tmp_path / "e", samples), p=0.5)
    return next(iter(data.batches(0, 8))).part(0, 1, "cpu")


def with_losses(method, losses, edit_losses):
    method.recipe = replace(method.recipe, losses=losses, edit_losses=edit_losses)
    return method


def test_a_part_is_the_gradient_of_its_share_of_the_mean(method, batch):
    network = method.build_network().eval()
    found = gradients.norms(with_losses(method, {"kl": 1.0}, {"kl": 2.0}), network, batch)
    assert list(found) == ["gradient_originals", "gradient_kl"]
    logits = method.logits(network, batch.images, batch.samples)
    target = batch.density.flatten(1)
    target = target / target.sum(1, keepdim=True)
    each = -(target * torch.log_softmax(logits.flatten(1), 1)).sum(1)  # KL but for a constant
    edited = torch.zeros(8, dtype=torch.bool).index_fill(0, batch.edits.places, True)
    for name, total in (("originals", each[~edited].sum() / 8), ("kl", 2 * each[edited].sum() / 8)):
        parts = torch.autograd.grad(total, list(network.parameters()), retain_graph=True)
        norm = np.sqrt(sum(float((part**2).sum()) for part in parts))
        assert found[f"gradient_{name}"] == pytest.approx(norm, rel=1e-4)


def test_a_loss_of_weight_zero_teaches_nothing(method, batch):
    network = method.build_network().eval()
    found = gradients.norms(with_losses(method, {"kl": 1.0}, {"kl": 0.0}), network, batch)
    assert found["gradient_kl"] == 0
    assert found["gradient_originals"] > 0


def test_measuring_changes_nothing(method, batch):
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1), nn.Flatten(1, 2))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    recipe = method.recipe
    gradients.norms(method, network.eval(), batch)
    assert method.recipe is recipe
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_log_has_them_in_every_fifth_epoch_of_a_training_with_edits(method, make_spots, tmp_path):
    samples = make_spots(20)
    plan = Plan(
        folder=tmp_path / "c", edits=write_edits(tmp_path / "e", samples), recipe={"p": 0.5, "epochs": 6, "patience": 9}
    )
    method.fit(samples, plan)
    rows = list(csv.DictReader((tmp_path / "c" / "log.csv").open()))
    assert [float(row["gradient_agreement"]) > 0 for row in rows] == [True, False, False, False, False, True]
