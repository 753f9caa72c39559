"""The aggregation: against the released network, against plain loops, and frugal with the features of a step."""

import weakref

import augsal_kit
import numpy as np
import pytest
import torch
from modules import part

aggregation, readouts = part("aggregation"), part("readouts")

CHANNELS, SIZES, EMBEDDING, STEPS = (16, 16, 8), ((2, 3), (4, 6), (8, 12)), 5, 2
SMALL = {"width": 12, "hidden": 8, "groups": 4}


def make_steps(seed=0, batch=2, dtype=torch.float64):
    """Features at three resolutions and an embedding, for two steps."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype)

    features = [[normal(batch, c, *size) for c, size in zip(CHANNELS, SIZES, strict=True)] for _ in range(STEPS)]
    return [(layers, normal(batch, EMBEDDING)) for layers in features]


def make_released(seed=0):
    """Random weights of a small network, under the names of the released code."""
    generator = torch.Generator().manual_seed(seed)
    width, hidden = SMALL["width"], SMALL["hidden"]
    weights = {}
    for stack in ("high", "low"):
        weights[f"mixing_weights_{stack}"] = torch.randn(STEPS * len(CHANNELS), generator=generator)
        for layer, channels in enumerate(CHANNELS):
            block = f"{stack}_bottleneck_layers.{layer}.0"
            shapes = {
                "conv1": (hidden, channels, 1, 1), "conv2": (hidden, hidden, 3, 3), "conv3": (width, hidden, 1, 1),
                "shortcut": (width, channels, 1, 1),
            }  # fmt: skip
            for name, shape in shapes.items():
                weights[f"{block}.{name}.weight"] = torch.randn(shape, generator=generator) / 3
                weights[f"{block}.{name}.norm.weight"] = torch.randn(shape[0], generator=generator)
                weights[f"{block}.{name}.norm.bias"] = torch.randn(shape[0], generator=generator)
            weights[f"{block}.linear.weight"] = torch.randn(hidden, EMBEDDING, generator=generator)
            weights[f"{block}.linear.bias"] = torch.randn(hidden, generator=generator)
    return {name: tensor.double() for name, tensor in weights.items()}


def make_network(released=None, **options):
    network = aggregation.Aggregation(CHANNELS, EMBEDDING, steps=STEPS, **SMALL, **options).double()
    if released:
        network.load_state_dict(aggregation.from_released(released))
    return network


def plain_norm(x, weight, bias):
    batch, channels, *size = x.shape
    grouped = x.reshape(batch, SMALL["groups"], -1)
    mean, variance = grouped.mean(2, keepdim=True), grouped.var(2, keepdim=True, correction=0)
    x = ((grouped - mean) / (variance + 1e-5).sqrt()).reshape(batch, channels, *size)
    return x * weight[:, None, None] + bias[:, None, None]


def plain_block(w, block, x, embedding):
    def normed(name, x):
        kernel = w[f"{block}.{name}.weight"]
        x = torch.conv2d(x, kernel, padding=kernel.shape[-1] // 2)
        return plain_norm(x, w[f"{block}.{name}.norm.weight"], w[f"{block}.{name}.norm.bias"])

    y = normed("conv1", x).clamp(min=0)
    y = y + (embedding @ w[f"{block}.linear.weight"].T + w[f"{block}.linear.bias"]).clamp(min=0)[:, :, None, None]
    y = normed("conv2", y).clamp(min=0)
    return (normed("conv3", y) + normed("shortcut", x)).clamp(min=0)


def plain_resize(x, size):
    """Bilinear, where the centres of pixels lie at (i + 1/2) / n of the side, and clamped beyond the outermost."""

    def matrix(old, new):
        m = torch.zeros(new, old, dtype=x.dtype)
        for i in range(new):
            position = min(max((i + 0.5) * old / new - 0.5, 0), old - 1)
            left = min(int(position), max(old - 2, 0))
            m[i, left] += 1 - (position - left)
            m[i, min(left + 1, old - 1)] += position - left
        return m

    return matrix(x.shape[2], size[0]) @ x @ matrix(x.shape[3], size[1]).T


def plain_aggregation(w, stack, steps, resize):
    weights = torch.softmax(w[f"mixing_weights_{stack}"], 0)
    total = 0
    for s, (features, embedding) in enumerate(steps):
        for i, layer in enumerate(features):
            block = f"{stack}_bottleneck_layers.{i}.0"
            if resize == "before":
                mixed = plain_block(w, block, plain_resize(layer, SIZES[-1]), embedding)
            else:
                mixed = plain_resize(plain_block(w, block, layer, embedding), SIZES[-1])
            total = total + weights[s * len(CHANNELS) + i] * mixed
    return total


@pytest.fixture(scope="module")
def kit(shared):
    return augsal_kit.load(shared)


@pytest.fixture(scope="module")
def network(kit):
    """Of the released size, with the kit's weights."""
    network = aggregation.Aggregation(kit.settings["feature_dims"], 1280, resize="before")
    network.load_state_dict(aggregation.from_released(kit.weights(r"mixing_weights|(high|low)_bottleneck_layers")))
    return network


@pytest.fixture(scope="module")
def features(kit):
    """Six steps of twelve layers."""
    channels = list(enumerate(kit.settings["feature_dims"]))
    return [
        [kit.seeded_tensor(f"augsal.feats.step{step}.layer{layer}", (1, c, 12, 16)) for layer, c in channels]
        for step in range(6)
    ]


@pytest.fixture(scope="module")
def mixed(kit, network, features):
    """The outputs for each of the kit's two embeddings, which all steps share, as in each run of the released code."""
    embeddings = [kit.seeded_tensor(name, (1, 1280), 0.5) for name in ("augsal.temb", "augsal.temb2")]
    with torch.no_grad():
        return [network((layers, embedding) for layers in features) for embedding in embeddings]


class TestAgainstTheReleasedNetwork:
    def test_outputs(self, kit, mixed):
        (high, low), (high2, _) = mixed
        for name, ours in (("high", high), ("low", low), ("high_temb2", high2)):
            np.testing.assert_allclose(ours[0, ::8], kit.expected[f"agg/{name}"], atol=1e-4, rtol=0)
        assert np.abs(kit.expected["agg/high"] - kit.expected["agg/high_temb2"]).max() > 1e-2

    @pytest.mark.parametrize("stack", ["high", "low"])
    def test_mixing_weights(self, kit, network, stack):
        ours = getattr(network, stack).mixing_weights().detach()
        np.testing.assert_allclose(ours.flatten(), kit.expected[f"agg/mix_{stack}"], atol=1e-7)

    @pytest.mark.parametrize(("stack", "layer"), [("high", 0), ("low", 11)])
    def test_blocks(self, kit, network, features, stack, layer):
        embedding = kit.seeded_tensor("augsal.temb", (1, 1280), 0.5)
        with torch.no_grad():
            ours = getattr(network, stack).blocks[layer](features[0][layer], embedding)
        expected = kit.expected[f"agg/{stack}_bottleneck{layer}"]
        np.testing.assert_allclose(ours[0, ::16], expected, atol=1e-4, rtol=0)

    def test_saliency_of_the_outputs(self, kit, mixed):
        readout = readouts.SaliencyReadout()
        readout.load_state_dict(readouts.saliency_from_released(kit.weights("saliency_readout")))
        with torch.no_grad():
            ours = readout(*mixed[0]).exp()[0]
        np.testing.assert_allclose(ours, kit.expected["agg/saliency_from_agg"], atol=1e-4, rtol=0)


class TestAgainstPlainLoops:
    @pytest.mark.parametrize("resize", ["after", "before"])
    @pytest.mark.parametrize("seed", range(3))
    def test_each_step_has_its_own_embedding(self, resize, seed):
        steps, released = make_steps(seed), make_released(seed)
        with torch.no_grad():
            ours = make_network(released, resize=resize)(steps)
        for stack, output in zip(("high", "low"), ours, strict=True):
            torch.testing.assert_close(output, plain_aggregation(released, stack, steps, resize), atol=1e-9, rtol=0)

    def test_the_orders_differ(self):
        """So that the test above tells them apart; on one resolution they are the same."""
        steps, released = make_steps(), make_released()
        after, before = (make_network(released, resize=order) for order in aggregation.ORDERS)
        assert (after(steps)[0] - before(steps)[0]).abs().max() > 0.1
        alike = [([plain_resize(layer, SIZES[-1]) for layer in layers], e) for layers, e in steps]
        torch.testing.assert_close(after(alike), before(alike))

    def test_layers_of_one_size_in_any_order(self):
        """The finest two come first and last."""
        released = make_released()
        steps = [([plain_resize(a, SIZES[-1]), b, c], embedding) for (a, b, c), embedding in make_steps()]
        with torch.no_grad():
            _, low = make_network(released)(steps)
        torch.testing.assert_close(low, plain_aggregation(released, "low", steps, "after"), atol=1e-9, rtol=0)

    def test_images_of_a_batch_do_not_see_each_other(self):
        network, steps = make_network(make_released()), make_steps()
        alone = network([([layer[1:] for layer in layers], e[1:]) for layers, e in steps])
        torch.testing.assert_close(tuple(x[1:] for x in network(steps)), alone)


class TestFrugality:
    @pytest.mark.parametrize("resize", aggregation.ORDERS)
    def test_keeps_nothing_of_a_step(self, resize):
        """When the next step is asked for, the last one is gone, though the network has not returned."""
        alive, prepared = [], make_steps()

        def steps():
            for _ in range(STEPS):
                yield fresh()
                alive.append([reference for reference in seen if reference() is not None])

        seen = []

        def fresh():
            layers, embedding = prepared[0]
            layers = [layer.clone() for layer in layers]
            seen.extend(weakref.ref(layer) for layer in layers)
            return layers, embedding

        with torch.no_grad():
            make_network(resize=resize)(steps())
        assert len(seen) == STEPS * len(CHANNELS)
        assert alive == [[]] * STEPS


class TestTraining:
    def test_every_parameter_learns(self):
        network = make_network(make_released())
        high, low = network(make_steps())
        (high.sin().sum() + low.cos().sum()).backward()
        assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []

    def test_starts_with_equal_weights_and_the_fan_out_rule(self):
        """Deviations of the fan-out rule: sqrt(2 / (kernel area x output channels))."""
        torch.manual_seed(0)
        network = aggregation.Aggregation([320], 8, steps=3)
        assert network.high.mixing_weights().flatten().tolist() == pytest.approx([1 / 3] * 3)
        block = network.low.blocks[0]
        for layer, outside, kernel in (("reduce", 96, 1), ("filter", 96, 9), ("expand", 384, 1), ("shortcut", 384, 1)):
            conv, norm = getattr(block, layer)
            assert conv.weight.std().item() == pytest.approx((2 / (kernel * outside)) ** 0.5, rel=0.02)
            assert norm.weight.eq(1).all()
            assert norm.bias.eq(0).all()
            assert norm.num_groups == 32


class TestBadInput:
    def test_an_unknown_order(self):
        with pytest.raises(ValueError, match=r"resize: expected one of after, before, got 'never'"):
            make_network(resize="never")

    def test_groups_that_do_not_divide(self):
        with pytest.raises(ValueError, match=r"groups: expected a divisor of width 384 and hidden 90, got 32; choose"):
            aggregation.Aggregation([320], 8, hidden=90)

    @pytest.mark.parametrize(("number", "got"), [(1, "1"), (3, "more")])
    def test_another_number_of_steps(self, number, got):
        steps = (make_steps() * 2)[:number]
        with pytest.raises(ValueError, match=rf"steps: expected 2, got {got}; "):
            make_network()(steps)

    def test_other_layers(self):
        (layers, embedding), _ = make_steps()
        with pytest.raises(ValueError, match=r"layers of \[16, 16, 8\] channels, got \[16, 16\]; build the network"):
            make_network()([(layers[:2], embedding)])

    def test_another_embedding(self):
        (layers, embedding), _ = make_steps()
        with pytest.raises(ValueError, match=r"embedding: expected shape \(batch, 5\), got \(2, 4\)"):
            make_network()([(layers, embedding[:, :4])])

    def test_weights_of_something_else(self):
        with pytest.raises(ValueError, match=r"expected a released aggregation network with two stacks, "):
            aggregation.from_released({"mixing_weights_high": torch.zeros(6)})
