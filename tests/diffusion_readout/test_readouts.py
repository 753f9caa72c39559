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
        sees = (changed.abs() > 1e-5).all(0).tolist()
        assert [name for name, s in zip(properties.PROPERTIES, sees, strict=True) if s] == ["global_contrast"]
        assert changed[:, :5].abs().max() < 1e-5

    def test_columns_are_the_properties(self, masks):
        readout = readouts.LowLevelReadout(WIDTH)
        for number, name in enumerate(properties.PROPERTIES):
            for parameter in readout.heads[name].perceptron[2].parameters():
                torch.nn.init.zeros_(parameter)
            torch.nn.init.constant_(readout.heads[name].perceptron[2].bias, number)
        assert readout(self.FEATURES, masks).tolist() == [[0, 1, 2, 3, 4, 5]] * 2

    def test_a_logit_for_each_category(self, masks):
        assert readouts.HighLevelReadout(WIDTH)(self.FEATURES, masks).shape == (2, 91)

    def test_all_heads_are_small(self):
        """The released ones have 117 M parameters."""
        heads = readouts.LowLevelReadout(), readouts.HighLevelReadout()
        assert sum(p.numel() for head in heads for p in head.parameters()) < 600_000


class TestDeviation:
    """The readout's running statistics of what it reads while it is trained."""

    MASKS = torch.ones(2, 1, 4, 6)

    def test_is_that_of_all_areas(self):
        """Of 3000 batches, each of which leaves half a percent of what was before: that of the normal readings."""
        readout = readouts.LowLevelReadout(WIDTH)
        true = torch.tensor([0.5, 1.0, 2.0, 0.1, 3.0, 0.25])
        generator = torch.Generator().manual_seed(0)
        readout.heads = self.reading(lambda: 1 + true * torch.randn(16, 6, generator=generator))
        for _ in range(3000):
            readout(None, None)
        np.testing.assert_allclose(readout.deviation(), true, rtol=0.1)
        np.testing.assert_allclose(readout.mean, 1, atol=0.3)

    def test_two_batches_by_hand(self):
        """Means 2 and 4, mean squares 5 and 20: 2 + 0.005 * 2 = 2.01, 5 + 0.005 * 15 = 5.075."""
        readout, batches = readouts.LowLevelReadout(WIDTH), iter([[1.0, 3], [2.0, 6]])
        readout.heads = self.reading(lambda: torch.tensor(next(batches))[:, None].expand(2, 6))
        readout(None, None)
        readout(None, None)
        np.testing.assert_allclose(readout.mean, 2.01, rtol=1e-5)
        np.testing.assert_allclose(readout.deviation(), math.sqrt(5.075 - 2.01**2), rtol=1e-5)

    def test_edited_images_do_not_count(self):
        """As if they were not in their batches; a batch of edits alone changes nothing."""
        readout, originals = readouts.LowLevelReadout(WIDTH), readouts.LowLevelReadout(WIDTH)
        features = make_features(4, WIDTH, 4, 6)
        originals.load_state_dict(readout.state_dict())
        edited = torch.tensor([False, True, True, False])
        readout(features, torch.ones(4, 1, 4, 6), edited)
        originals(features[~edited], torch.ones(2, 1, 4, 6))
        torch.testing.assert_close(readout.mean, originals.mean)
        torch.testing.assert_close(readout.mean_square, originals.mean_square)
        readout(features, torch.ones(4, 1, 4, 6), torch.ones(4, dtype=torch.bool))
        torch.testing.assert_close(readout.mean, originals.mean)

    def test_of_few_batches_is_not_biased(self):
        """Readings far from zero with little deviation: what is left of the zeros at the start would drown it."""
        readout, generator = readouts.LowLevelReadout(WIDTH), torch.Generator().manual_seed(0)
        readout.heads = self.reading(lambda: 10 + 0.1 * torch.randn(256, 6, generator=generator))
        for _ in range(20):
            readout(None, None)
        np.testing.assert_allclose(readout.deviation(), 0.1, rtol=0.1)

    def reading(self, read):
        """Heads of which the first gives what all are to read."""

        class First(torch.nn.Module):
            def forward(self, low, masks):
                return read()

        return torch.nn.ModuleDict({"red": First()})

    def test_nothing_is_kept_in_evaluation(self):
        readout = readouts.LowLevelReadout(WIDTH).eval()
        readout(make_features(2, WIDTH, 4, 6), self.MASKS)
        assert not readout.mean.any()
        assert not readout.mean_square.any()
        assert readout.deviation().tolist() == [0] * 6

    def test_is_stored_with_the_weights(self):
        trained, loaded = readouts.LowLevelReadout(WIDTH), readouts.LowLevelReadout(WIDTH)
        trained(make_features(2, WIDTH, 4, 6), self.MASKS)
        loaded.load_state_dict(trained.state_dict())
        assert trained.deviation().min() > 0
        assert torch.equal(loaded.deviation(), trained.deviation())

    def test_leaves_the_gradients_as_they_are(self):
        readout, features = readouts.LowLevelReadout(WIDTH), make_features(2, WIDTH, 4, 6).requires_grad_()
        in_training = torch.autograd.grad(readout(features, self.MASKS).sum(), features)[0]
        in_evaluation = torch.autograd.grad(readout.eval()(features, self.MASKS).sum(), features)[0]
        torch.testing.assert_close(in_training, in_evaluation)
        assert not readout.mean.requires_grad

    def test_in_mixed_precision(self):
        """Readings are then bfloat16, the statistics float32 all the same."""
        readout, exact = readouts.LowLevelReadout(WIDTH), readouts.LowLevelReadout(WIDTH)
        exact.load_state_dict(readout.state_dict())
        with torch.autocast("cpu", torch.bfloat16):
            read = readout(make_features(2, WIDTH, 4, 6), self.MASKS)
        exact(make_features(2, WIDTH, 4, 6), self.MASKS)
        assert read.dtype == torch.bfloat16
        assert readout.mean_square.dtype == torch.float32
        torch.testing.assert_close(readout.mean, exact.mean, rtol=0.05, atol=1e-4)


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
