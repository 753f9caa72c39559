"""Readouts: saliency against the released network, heads that see their area only, and the losses by hand."""

import math

import augsal_kit
import numpy as np
import pytest
import torch
from modules import part

readouts, properties = part("readouts"), part("properties")

WIDTH = 12


def make_saliency(seed=0):
    torch.manual_seed(seed)
    return readouts.SaliencyReadout(WIDTH)


def make_features(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


class TestSaliency:
    def test_equal_to_the_released_readout(self, shared):
        kit = augsal_kit.load(shared)
        readout = readouts.SaliencyReadout()
        readout.load_state_dict(readouts.saliency_from_released(kit.weights("saliency_readout")))
        high, low = (kit.smooth_tensor(f"augsal.{name}64", (2, 384, 64, 64)).relu() for name in ("high", "low"))
        with torch.no_grad():
            ours = readout(high, low).exp()
        expected = kit.expected["heads/saliency_sub2"]
        np.testing.assert_allclose(ours[:, ::2, ::2], expected, atol=1e-5, rtol=0)
        assert expected.std() > 0.01

    def test_softmax_gives_the_map_of_the_sigmoid(self):
        """Of the last convolution, scaled to a sum of one."""
        readout, (high, low) = make_saliency(), make_features(2, 2, WIDTH, 6, 8)
        last = []
        readout.output.register_forward_hook(lambda module, given, output: last.append(output))
        with torch.no_grad():
            logits = readout(high, low)
        density = logits.flatten(1).softmax(1).reshape(2, 6, 8)
        expected = 1 / (1 + np.exp(-last[0][:, 0].double().numpy()))
        expected /= expected.sum((1, 2), keepdims=True)
        np.testing.assert_allclose(density, expected, rtol=1e-4)

    def test_where_the_sigmoid_underflows_the_logits_are_numbers(self):
        readout = make_saliency()
        with torch.no_grad():
            readout.output.bias.fill_(-500)
            logits = readout(*make_features(2, 1, WIDTH, 6, 8))
        assert logits.mean().item() == pytest.approx(-500, abs=1)
        assert logits.std() > 0

    @pytest.mark.parametrize("size", [(1, 1), (5, 7), (64, 48)])
    def test_any_resolution(self, size):
        assert make_saliency()(*make_features(2, 3, WIDTH, *size)).shape == (3, *size)

    def test_seven_convolutions(self):
        """Of 3 x 3 before the last one, paper section 3.4."""
        kernels = [m.kernel_size for m in make_saliency().modules() if isinstance(m, torch.nn.Conv2d)]
        assert kernels.count((3, 3)) == 7 + 1
        assert kernels.count((1, 1)) == 2

    def test_every_parameter_learns(self):
        readout = make_saliency()
        (readout(*make_features(2, 2, WIDTH, 6, 8)) * make_features(2, 6, 8)).sum().backward()
        assert [name for name, p in readout.named_parameters() if p.grad is None or not p.grad.any()] == []

    def test_weights_of_something_else(self):
        with pytest.raises(ValueError, match=r"expected a released network with a saliency readout, "):
            readouts.saliency_from_released({"saliency_readout.linear.weight": torch.zeros(1)})


class TestArea:
    FEATURES = make_features(2, WIDTH, 4, 6)

    @pytest.fixture
    def masks(self):
        masks = torch.zeros(2, 1, 4, 6)
        masks[0, 0, 1:3, 2:5] = 1
        masks[1, 0, 0, 0] = 0.25
        return masks

    def elsewhere(self, masks):
        """Other features wherever the area is not."""
        return torch.where(masks > 0, self.FEATURES, self.FEATURES.flip(0) + 1)

    def test_by_hand(self):
        """One channel passed on as it is; SiLU(x) = x / (1 + exp(-x)); the area is 1 and half of 3."""
        head = readouts.AreaReadout(1, 1, hidden=1)
        head.perceptron = torch.nn.Identity()
        torch.nn.init.ones_(head.conv.weight)
        torch.nn.init.zeros_(head.conv.bias)
        features = torch.tensor([[[[1.0, 2.0, 3.0]]]])
        expected = (1 / (1 + math.exp(-1)) + 0.5 * 3 / (1 + math.exp(-3))) / 1.5
        assert head(features, torch.tensor([[[[1.0, 0, 0.5]]]])).item() == pytest.approx(expected)

    def test_sees_its_area_only(self, masks):
        head = readouts.AreaReadout(WIDTH, 3)
        torch.testing.assert_close(head(self.FEATURES, masks), head(self.elsewhere(masks), masks))
        changed = head(self.FEATURES + masks, masks) - head(self.FEATURES, masks)
        assert changed.abs().amin() > 1e-5

    def test_one_that_sees_the_image_sees_the_rest_too(self, masks):
        head = readouts.AreaReadout(WIDTH, 3, sees_image=True)
        for features in (self.elsewhere(masks), self.FEATURES + masks):
            assert (head(features, masks) - head(self.FEATURES, masks)).abs().amin() > 1e-5

    def test_an_empty_area_is_the_whole_map(self, masks):
        head = readouts.AreaReadout(WIDTH, 3)
        torch.testing.assert_close(head(self.FEATURES, 0 * masks), head(self.FEATURES, torch.ones_like(masks)))

    def test_masks_of_another_size(self):
        with pytest.raises(ValueError, match=r"masks: expected shape \(2, 1, 4, 6\), got \(2, 1, 8, 12\)"):
            readouts.AreaReadout(WIDTH, 1)(self.FEATURES, torch.ones(2, 1, 8, 12))

    def test_only_global_contrast_sees_the_image(self, masks):
        readout = readouts.LowLevelReadout(WIDTH)
        changed = readout(self.elsewhere(masks), masks) - readout(self.FEATURES, masks)
        sees = (changed.abs() > 1e-5).all((0, 1)).tolist()
        assert [name for name, s in zip(properties.PROPERTIES, sees, strict=True) if s] == ["global_contrast"]
        assert changed[..., :5].abs().max() < 1e-5

    @pytest.mark.parametrize("kind", [readouts.LowLevelReadout, readouts.HighLevelReadout])
    def test_areas_of_an_image_are_read_as_if_alone(self, masks, kind):
        readout, others = kind(WIDTH), torch.cat([masks, masks.flip(0)], 1)
        alone = torch.cat([readout(self.FEATURES, masks), readout(self.FEATURES, masks.flip(0))], 1)
        torch.testing.assert_close(readout(self.FEATURES, others), alone)

    def test_columns_are_the_properties(self, masks):
        readout = readouts.LowLevelReadout(WIDTH)
        for number, name in enumerate(properties.PROPERTIES):
            for parameter in readout.heads[name].perceptron[2].parameters():
                torch.nn.init.zeros_(parameter)
            torch.nn.init.constant_(readout.heads[name].perceptron[2].bias, number)
        assert readout(self.FEATURES, masks).tolist() == [[[0, 1, 2, 3, 4, 5]]] * 2

    def test_a_logit_for_each_category(self, masks):
        assert readouts.HighLevelReadout(WIDTH)(self.FEATURES, masks).shape == (2, 1, 91)

    def test_all_heads_are_small(self):
        """The released ones have 117 M parameters."""
        heads = readouts.LowLevelReadout(), readouts.HighLevelReadout()
        assert sum(p.numel() for head in heads for p in head.parameters()) < 600_000


class TestSpread:
    """Running statistics of what is read, and of what is true, while the network is trained."""

    def test_is_that_of_all_batches(self):
        """Of 3000 batches, each of which leaves half a percent of what was before: that of the normal values."""
        spread, true = readouts.Spread(6), torch.tensor([0.5, 1.0, 2.0, 0.1, 3.0, 0.25])
        generator = torch.Generator().manual_seed(0)
        for _ in range(3000):
            spread.update(1 + true * torch.randn(16, 6, generator=generator))
        np.testing.assert_allclose(spread.deviation(), true, rtol=0.1)
        np.testing.assert_allclose(spread.mean, 1, atol=0.3)

    def test_two_batches_by_hand(self):
        """Means 2 and 4, mean squares 5 and 20: 2 + 0.005 * 2 = 2.01, 5 + 0.005 * 15 = 5.075."""
        spread = readouts.Spread(6)
        for batch in ([1.0, 3], [2.0, 6]):
            spread.update(torch.tensor(batch)[:, None].expand(2, 6))
        np.testing.assert_allclose(spread.mean, 2.01, rtol=1e-5)
        np.testing.assert_allclose(spread.deviation(), math.sqrt(5.075 - 2.01**2), rtol=1e-5)

    def test_a_batch_of_nothing_changes_nothing(self):
        spread = readouts.Spread(6)
        spread.update(torch.ones(2, 6))
        spread.update(torch.ones(0, 6))
        assert spread.mean.tolist() == [1] * 6

    def test_of_few_batches_is_not_biased(self):
        """Values far from zero with little deviation: what is left of the zeros at the start would drown it."""
        spread, generator = readouts.Spread(6), torch.Generator().manual_seed(0)
        for _ in range(20):
            spread.update(10 + 0.1 * torch.randn(256, 6, generator=generator))
        np.testing.assert_allclose(spread.deviation(), 0.1, rtol=0.1)

    def test_is_stored_with_the_weights(self):
        trained, loaded = readouts.LowLevelReadout(WIDTH), readouts.LowLevelReadout(WIDTH)
        trained.readings.update(torch.rand(9, 6))
        trained.truths.update(torch.rand(9, 6))
        loaded.load_state_dict(trained.state_dict())
        for one, other in ((trained.readings, loaded.readings), (trained.truths, loaded.truths)):
            assert one.deviation().min() > 0
            assert torch.equal(one.deviation(), other.deviation())

    def test_needs_no_gradient_and_no_bfloat16(self):
        """Readings are bfloat16 in mixed precision."""
        spread, values = readouts.Spread(6), torch.rand(9, 6, requires_grad=True)
        spread.update(values.bfloat16())
        assert spread.mean_square.dtype == torch.float32
        assert not spread.mean.requires_grad
        torch.testing.assert_close(spread.mean, values.detach().mean(0), rtol=0.01, atol=1e-3)


class TestLoss:
    """Two images. Errors: red 1 and 0, green 2 and 0, blue 3 and 0, then 0.5, 0.25 and 0.1 in both."""

    TRUTH = torch.tensor([[0.0] * 6, [1.0] * 6])
    READ = TRUTH + torch.tensor([[1, 2, 3, 0.5, 0.25, 0.1], [0, 0, 0, 0.5, 0.25, 0.1]])
    LOGITS = torch.zeros(2, 91)
    CATEGORIES = torch.tensor([17, 0])

    def loss(self, categories=CATEGORIES, logits=LOGITS, **weights):
        zero = dict.fromkeys(("colour", "brightness", "local_contrast", "global_contrast", "category"), 0.0)
        weights = readouts.ReadoutWeights(**zero | weights)
        return readouts.readout_loss(self.READ, self.TRUTH, logits, categories, weights).item()

    @pytest.mark.parametrize(
        ("term", "expected"),
        [
            ("colour", (1 + 4 + 9) / 6),
            ("brightness", 0.25),
            ("local_contrast", 0.0625),
            ("global_contrast", 0.01),
            ("category", math.log(91)),
        ],
    )
    def test_each_term(self, term, expected):
        assert self.loss(**{term: 1.0}) == pytest.approx(expected)
        assert self.loss(**{term: 3.0}) == pytest.approx(3 * expected)

    def test_default_weights(self):
        ours = readouts.readout_loss(self.READ, self.TRUTH, self.LOGITS, self.CATEGORIES).item()
        assert ours == pytest.approx((0.1 * (14 / 6 + 0.25 + 0.0625 + 0.01) + 0.5 * math.log(91)) / 0.2)

    def test_unknown_categories_are_left_out(self):
        """The first image has a logit of 2 at its category, the second one of 5 at another."""
        logits = self.LOGITS.clone()
        logits[0, 17], logits[1, 3] = 2, 5
        first = math.log(math.exp(2) + 90) - 2
        second = math.log(math.exp(5) + 90)
        assert self.loss(logits=logits, category=1.0) == pytest.approx((first + second) / 2)
        known = torch.tensor([17, readouts.UNKNOWN_CATEGORY])
        assert self.loss(known, logits, category=1.0) == pytest.approx(first)

    def test_without_any_category_only_the_properties_count(self):
        unknown = torch.full((2,), readouts.UNKNOWN_CATEGORY)
        logits = self.LOGITS.clone().requires_grad_()
        loss = readouts.readout_loss(self.READ, self.TRUTH, logits, unknown)
        loss.backward()
        assert loss.item() == pytest.approx(0.5 * (14 / 6 + 0.25 + 0.0625 + 0.01))
        assert not logits.grad.any()
