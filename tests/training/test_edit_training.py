"""Training with edits: what is shown, what moves with it, and what its losses are, by hand."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from torch import nn
from toys import write_edits

from salbench import edits, metrics, registry
from salbench.augment import augment
from salbench.edits import NewEdit, Writer
from salbench.maps import resize
from salbench.runtime import Runtime
from salbench.training import LearnedMethod, Recipe, Trainer, TrainingProblem
from salbench.training.checkpoint import EditCounts
from salbench.training.data import EditBatch, NoTrainingData, TrainingSet, to_arrays
from salbench.training.loop import split
from salbench.training.losses import EDIT_LOSSES, LOSSES, MARGIN, agreement, increase, kl, per_image
from salbench.training_plan import Plan

SIZE = (24, 32)


def batches(data, epoch, size=4):
    return list(data.batches(epoch, size))


@pytest.fixture(scope="module")
def samples(make_spots):
    return make_spots(8)


@pytest.fixture(scope="module")
def edit_set(samples, tmp_path_factory):
    """Edits of six of the eight samples."""
    return write_edits(tmp_path_factory.mktemp("set") / "edits", samples[:6])


class TestVersions:
    def test_keep_the_ground_truth_and_the_size(self, samples, edit_set):
        sample = samples[0]
        bright, dark = edit_set.versions(sample)
        assert (bright.id, dark.id) == ("spot_0_0@bright_2", "spot_0_0@dark_0.1")
        assert bright.image.shape == (*SIZE, 3)
        assert bright.fixations is sample.fixations
        _, density, counts = to_arrays(bright, SIZE)
        assert_array_equal(density, to_arrays(sample, SIZE)[1])
        assert_array_equal(counts, to_arrays(sample, SIZE)[2])
        assert (bright.edit.type, bright.edit.strength, bright.edit.direction) == ("bright", 2.0, 1)
        assert_array_equal(bright.edit.read_original(), sample.image)
        assert bright.blind().edit is None

    def test_the_image_is_the_edited_one_resized_as_all_images_are(self, samples, edit_set):
        bright = edit_set.versions(samples[0])[0]
        stored = Image.fromarray(edit_set.of("spot_0_0")[0].read_image())
        assert_array_equal(bright.image, np.asarray(stored.resize((32, 24), Image.Resampling.BILINEAR)))

    def test_the_mask_covers_the_same_part_of_the_image(self, samples, edit_set):
        bright, dark = (version.edit.read_mask() for version in edit_set.versions(samples[0]))
        assert bright.shape == dark.shape == SIZE
        assert (bright[:11, :15] == 1).all()
        assert (bright[13:] == 0).all()
        assert (bright[:, 17:] == 0).all()
        assert_allclose(dark, bright[:, ::-1], atol=1e-6)

    def test_none_without_edits(self, samples, edit_set):
        assert edit_set.versions(samples[7]) == []


class TestAugmented:
    def test_a_flip_moves_mask_and_original_with_the_image(self, samples, edit_set):
        before = edit_set.versions(samples[0])[0]
        after = augment(before, "hflip").sample
        assert_array_equal(after.image, before.image[:, ::-1])
        assert_array_equal(after.edit.read_original(), before.edit.read_original()[:, ::-1])
        assert_array_equal(after.edit.read_mask(), before.edit.read_mask()[:, ::-1])
        assert_array_equal(before.edit.read_original(), samples[0].image)  # the sample itself is left alone

    def test_a_zoom_at_a_random_place_is_the_same_place_for_all(self, samples, edit_set):
        """The mask as the image's brightness: they stay one and the same."""
        edited = edit_set.versions(samples[0])[0]
        grey = np.repeat((255 * edited.edit.read_mask()).astype(np.uint8)[..., None], 3, 2)
        edited = replace(edited, read_image=lambda: grey, edit=replace(edited.edit, read_original=lambda: grey))
        seen = set()
        for seed in range(3):
            moved = augment(edited, "random_zoom", seed=seed).sample
            assert_array_equal(moved.edit.read_original(), moved.image)
            assert_allclose(moved.edit.read_mask(), moved.image[..., 0] / 255, atol=2 / 255)
            seen.add(moved.image.tobytes())
        assert len(seen) == 3

    def test_labels_that_stay_do_not_hold_the_mask_back(self, samples, edit_set):
        before = edit_set.versions(samples[0])[0]
        after = augment(before, "hflip", labels="as_released").sample
        assert_array_equal(after.fixations, before.fixations)
        assert_array_equal(after.edit.read_mask(), before.edit.read_mask()[:, ::-1])

    @pytest.mark.parametrize("name", ["invert", "noise_var_0.1", "color_jitter"])
    def test_colours_change_alike_and_the_mask_stays(self, samples, edit_set, name):
        edited = edit_set.versions(samples[0])[0]
        edited = replace(edited, read_image=edited.edit.read_original)
        after = augment(edited, name, seed=3).sample
        assert (after.image != edited.image).any()
        assert_array_equal(after.edit.read_original(), after.image)
        assert_array_equal(after.edit.read_mask(), edited.edit.read_mask())

    def test_one_after_the_other(self, samples, edit_set):
        before = edit_set.versions(samples[0])[1]
        after = augment(augment(before, "hflip").sample, "invert").sample
        assert_array_equal(after.edit.read_original(), 255 - samples[0].image[:, ::-1])
        assert_array_equal(after.edit.read_mask(), before.edit.read_mask()[:, ::-1])


class TestShown:
    def test_about_as_many_originals_as_p_says_and_sources_without_edits_as_they_are(self, samples, edit_set):
        data = TrainingSet(samples, SIZE, edits=edit_set, p=0.7)
        shown = Counter(id for epoch in range(60) for batch in batches(data, epoch) for id in batch.ids)
        assert shown.total() == 480
        assert shown["spot_0_6"] == shown["spot_0_7"] == 60
        by_kind = Counter()
        for id, number in shown.items():
            by_kind[id.partition("@")[2]] += number
        assert 224 <= by_kind[""] - 120 <= 280  # 252 of 360, 3.2 standard deviations of 8.7
        assert min(by_kind["bright_2"], by_kind["dark_0.1"]) > 30

    def test_a_type_is_drawn_and_then_one_of_its_strengths(self, samples, tmp_path):
        """Section 5.3: a type with more strengths is not shown more often."""
        writer = Writer(tmp_path / "edits", {})
        for sample in samples:
            strengths = [("dark", 1.0), *(("bright", 1.0 + k) for k in range(4))]
            made = [NewEdit(type, strength, strength, 1, sample.image) for type, strength in strengths]
            writer.add(sample.id, sample.image, dict.fromkeys(("dark", "bright"), np.eye(8)), made)
        data = TrainingSet(samples, SIZE, edits=edits.read(tmp_path / "edits"), p=0.0)
        shown = Counter(id.partition("@")[2] for epoch in range(50) for b in batches(data, epoch) for id in b.ids)
        assert shown.total() == 400
        assert 160 <= shown["dark_1"] <= 240  # 200, four standard deviations of 10
        assert all(22 <= shown[f"bright_{k}"] <= 78 for k in range(1, 5))  # 50, of 6.6

    @pytest.mark.parametrize(("p", "edited"), [(0.0, 6), (1.0, 0)])
    def test_never_and_always(self, samples, edit_set, p, edited):
        data = TrainingSet(samples, SIZE, edits=edit_set, p=p)
        for epoch in range(3):
            shown = [id for batch in batches(data, epoch) for id in batch.ids]
            assert sum("@" in id for id in shown) == edited
            assert sorted(id.partition("@")[0] for id in shown) == [s.id for s in samples]

    def test_the_same_again_by_seed_and_epoch(self, samples, edit_set):
        def shown(seed, epoch):
            return [b.ids for b in batches(TrainingSet(samples, SIZE, edits=edit_set, p=0.5, seed=seed), epoch)]

        assert shown(0, 2) == shown(0, 2)
        assert len({str(shown(seed, epoch)) for seed in (0, 1) for epoch in (1, 2)}) == 4

    def test_a_batch_holds_what_its_edits_are(self, samples, edit_set):
        data = TrainingSet(samples, SIZE, edits=edit_set, p=0.5, jitter=("hflip",))
        batch = batches(data, 0, 8)[0]
        edited = [i for i, id in enumerate(batch.ids) if "bright" in id or "dark" in id]
        assert 0 < len(edited) < 8
        assert batch.edits.places.tolist() == edited
        for k, i in enumerate(edited):
            edit = batch.samples[i].edit
            assert_array_equal(batch.edits.originals[k], edit.read_original())
            assert_allclose(batch.edits.masks[k], edit.read_mask(), atol=1e-6)
            assert batch.edits.directions[k] == edit.direction
        assert batch.edits.masks.dtype == batch.edits.directions.dtype == np.float32
        assert batch.edits.originals.dtype == np.uint8

    def test_at_the_size_of_training(self, samples, edit_set):
        batch = batches(TrainingSet(samples, (12, 20), edits=edit_set, p=0.0), 0, 8)[0]
        assert batch.edits.originals.shape == (6, 12, 20, 3)
        sample = next(s for s in samples if s.id == batch.samples[batch.edits.places[0]].id.partition("@")[0])
        expected = np.asarray(Image.fromarray(sample.image).resize((20, 12), Image.Resampling.BILINEAR))
        assert_array_equal(batch.edits.originals[0], expected)
        mask = batch.samples[batch.edits.places[0]].edit.read_mask()
        assert_allclose(batch.edits.masks[0], resize(mask, (12, 20)), atol=1e-6)

    def test_without_edits_there_is_nothing_of_them(self, samples, edit_set):
        assert batches(TrainingSet(samples, SIZE), 0)[0].edits is None
        assert batches(TrainingSet(samples, SIZE, edits=edit_set, p=1.0), 0)[0].edits is None

    def test_no_edit_of_any_sample(self, make_spots, edit_set):
        with pytest.raises(
            NoTrainingData, match=r"edits: expected edits of the images .*, 4 such as spot_5_0, spot_5_1, spot_5_2; "
            r"got edits of spot_0_0, spot_0_1, spot_0_2\. Edits are found by the ids of their sources"
        ):  # fmt: skip
            TrainingSet(make_spots(4, seed=5), SIZE, edits=edit_set, p=0.5)

    @pytest.mark.parametrize("options", [{}, {"p": 0.5, "copies": ("hflip",)}])
    def test_edits_ask_for_p_and_no_copies(self, samples, edit_set, options):
        with pytest.raises(ValueError, match="edits: expected p, the probability of the original, and no copies"):
            TrainingSet(samples, SIZE, edits=edit_set, **options)


class TestPart:
    """What each of several processes gets of a batch."""

    @pytest.fixture
    def whole(self, samples, edit_set):
        return batches(TrainingSet(samples, SIZE, edits=edit_set, p=0.3), 0, 8)[0]

    @pytest.mark.parametrize("of", [1, 2, 3])
    def test_every_edit_is_in_one_part_beside_its_image(self, whole, of):
        seen = []
        for process in range(of):
            part = whole.part(process, of, "cpu")
            for k, i in enumerate(part.edits.places.tolist() if part.edits else []):
                edit = part.samples[i].edit
                assert_array_equal(part.edits.originals[k].numpy(), edit.read_original())
                assert_allclose(part.edits.masks[k].numpy(), edit.read_mask(), atol=1e-6)
                assert part.edits.directions[k] == edit.direction
                seen.append(part.ids[i])
            assert sum(s.edit is not None for s in part.samples) == (len(part.edits.places) if part.edits else 0)
        assert sorted(seen) == sorted(whole.ids[i] for i in whole.edits.places)

    def test_a_part_without_edits_has_none(self, whole):
        only = EditBatch(*(a[:1] for a in whole.edits))
        place = int(only.places[0])
        batch = whole._replace(edits=only)
        assert batch.part((place + 1) % 2, 2, "cpu").edits is None
        assert batch.part(place % 2, 2, "cpu").edits.places.tolist() == [place // 2]


def looped_agreement(logits, original, mask):
    """Equation 7 pixel by pixel, without torch."""
    values = []
    for edited, before, region in zip(logits, original, mask, strict=True):
        peak, peak_before, total = max(edited.ravel()), max(before.ravel()), 0.0
        for e, b, m in zip(edited.ravel(), before.ravel(), region.ravel(), strict=True):
            x, t = m * math.exp(e - peak), m * math.exp(b - peak_before)
            total -= (t * math.log(x) if t else 0.0) + (1 - t) * math.log(1 - min(x, 1 - 1e-6))
        values.append(total / edited.size)
    return values


def looped_increase(logits, original, mask, direction):
    values = []
    for edited, before, region, sign in zip(logits, original, mask, direction, strict=True):
        shares = []
        for maps in (edited, before):
            weights = [math.exp(v) for v in maps.ravel()]
            shares.append(sum(w * m for w, m in zip(weights, region.ravel(), strict=True)) / sum(weights))
        values.append(max(0.0, 0.2 - sign * math.log(shares[0] / shares[1])))
    return values


def maps(seed, number=3, shape=(7, 9)):
    """Logits of edited images and of originals, masks with zeros in them; float64."""
    rng = np.random.default_rng(seed)
    mask = np.maximum(rng.uniform(-0.5, 1, (number, *shape)), 0)
    return (torch.from_numpy(a) for a in (rng.normal(0, 2, (number, *shape)), rng.normal(0, 2, (number, *shape)), mask))


class TestAgreement:
    def test_by_hand(self):
        """S' = (1, 1/2), S'_E = (1/4, 1), M = (1, 1/2): inputs (1/4, 1/2), targets (1, 1/4)."""
        original, edited = torch.tensor([[[1.0, 0.5]]]).log(), torch.tensor([[[0.25, 1.0]]]).log()
        value = agreement(edited + 3, original - 2, torch.tensor([[[1.0, 0.5]]]))
        # -(log 1/4) = 1.386294; -(1/4 log 1/2 + 3/4 log 1/2) = 0.693147; the mean is
        assert value.item() == pytest.approx(1.0397208, abs=1e-6)

    def test_pixel_by_pixel(self):
        logits, original, mask = maps(0)
        assert_allclose(
            agreement(logits, original, mask), looped_agreement(*(t.numpy() for t in (logits, original, mask)))
        )

    def test_is_the_binary_cross_entropy_of_torch(self):
        logits, original, mask = maps(1)
        mask = 0.9 * mask  # away from one, where torch cuts off elsewhere
        peak_one = [torch.exp(x - x.amax((1, 2), keepdim=True)) for x in (logits, original)]
        expected = nn.functional.binary_cross_entropy(mask * peak_one[0], mask * peak_one[1], reduction="none")
        assert_allclose(agreement(logits, original, mask), expected.mean((1, 2)), rtol=1e-9)

    def test_least_where_both_agree(self):
        _, original, mask = maps(2)
        least = agreement(original, original, mask)
        for seed in range(5):
            noise = torch.randn(original.shape, generator=torch.Generator().manual_seed(seed))
            assert (agreement(original + 0.3 * noise, original, mask) > least).all()

    def test_what_is_outside_the_region_counts_by_the_peak_only(self):
        logits, original, mask = maps(3)
        mask[:, 0, 0] = 0
        changed = logits.clone()
        changed[:, 0, 0] = -50
        assert (changed.amax((1, 2)) == logits.amax((1, 2))).all()
        assert_allclose(agreement(changed, original, mask), agreement(logits, original, mask), rtol=1e-12)

    @pytest.mark.parametrize("region", ["all", "none", "some"])
    def test_value_and_gradient_are_finite(self, region):
        logits, original, mask = maps(4)
        mask = {"all": torch.ones_like(mask), "none": torch.zeros_like(mask), "some": mask}[region].float()
        for spread in (0.0, 1.0, 1e4):
            scaled = (spread * logits).float().requires_grad_(True)
            value = agreement(scaled, (spread * original).float(), mask)
            value.sum().backward()
            assert value.isfinite().all()
            assert scaled.grad.isfinite().all()
        assert region != "none" or (value == 0).all()


class TestIncrease:
    def test_by_hand(self):
        """Shares 1/4 before, 1/2 after: log 2 = 0.693 is beyond the margin one way, and off by both the other way."""
        original, edited = torch.tensor([[[1.0, 3.0]]] * 2).log(), torch.tensor([[[5.0, 5.0]]] * 2).log()
        value = increase(edited, original, torch.tensor([[[1.0, 0.0]]] * 2), torch.tensor([1.0, -1.0]))
        assert value[0] == 0
        assert value[1].item() == pytest.approx(0.2 + 0.6931472, abs=1e-6)

    def test_pixel_by_pixel(self):
        logits, original, mask = maps(5, number=6)
        direction = torch.tensor([1.0, -1, 1, -1, 1, -1])
        arrays = (t.numpy() for t in (logits, original, mask, direction))
        assert_allclose(increase(logits, original, mask, direction), looped_increase(*arrays), atol=1e-9)

    @pytest.mark.parametrize("direction", [1.0, -1.0])
    def test_falls_as_saliency_moves_the_edits_way_until_the_margin(self, direction):
        _, original, mask = maps(6, number=1)
        directions = torch.tensor([direction])
        steps = [
            increase(original + direction * step * mask, original, mask, directions).item() for step in (0, 0.1, 0.2, 5)
        ]
        assert steps[0] == pytest.approx(MARGIN)
        assert steps[0] > steps[1] > steps[2] > 0
        assert steps[3] == 0
        assert increase(original - direction * mask, original, mask, directions).item() > MARGIN

    def test_a_region_that_left_the_image_teaches_nothing(self):
        logits, original, mask = (t.float() for t in maps(7))
        logits.requires_grad_(True)
        increase(logits, original, torch.zeros_like(mask), torch.ones(3)).sum().backward()
        assert logits.grad.abs().max() < 1e-6


@pytest.mark.parametrize("name", ["agreement", "increase"])
class TestBoth:
    def value(self, name, logits, original, mask):
        return per_image(
            logits, {"original": original, "mask": mask, "direction": torch.ones(len(logits))}, {name: 1.0}
        )

    def test_gradient(self, name):
        logits, original, mask = maps(8, number=2, shape=(3, 4))
        logits.requires_grad_(True)
        assert torch.autograd.gradcheck(lambda x: self.value(name, x, original, 0.9 * mask), logits, atol=1e-6)

    def test_the_original_takes_none(self, name):
        logits, original, mask = maps(9)
        original.requires_grad_(True)
        logits.requires_grad_(True)
        self.value(name, logits, original, mask).sum().backward()
        assert original.grad is None
        assert logits.grad.abs().max() > 0

    def test_logits_are_known_up_to_a_constant(self, name):
        logits, original, mask = maps(10)
        assert_allclose(
            self.value(name, logits + 4, original - 7, mask), self.value(name, logits, original, mask), rtol=1e-9
        )

    def test_one_value_per_image(self, name):
        logits, original, mask = maps(11)
        whole = self.value(name, logits, original, mask)
        for i in range(3):
            alone = self.value(name, *(t[i : i + 1] for t in (logits, original, mask)))
            torch.testing.assert_close(alone, whole[i : i + 1])


class TestSoftTarget:
    def value(self, logits, density, mask, direction):
        return per_image(logits, {"density": density, "mask": mask, "direction": direction}, {"soft_target": 1.0})

    def test_is_the_divergence_from_a_raised_density(self):
        logits, _, mask = maps(12)
        mask = (mask > 0.5).double()
        density = torch.rand(logits.shape, dtype=torch.float64)
        direction = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
        found = self.value(logits, density, mask, direction)
        for i in range(3):
            target = density[i].numpy() * np.where(mask[i] > 0, np.exp(MARGIN * float(direction[i])), 1.0)
            predicted = torch.softmax(logits[i].ravel(), 0).numpy().reshape(target.shape)
            assert found[i].item() == pytest.approx(metrics.kl(predicted, target, eps=1e-300), rel=1e-6)

    def test_no_region_leaves_the_ground_truth(self):
        logits, _, mask = maps(13)
        density = torch.rand(logits.shape, dtype=torch.float64)
        found = self.value(logits, density, 0 * mask, torch.ones(3, dtype=torch.float64))
        assert_allclose(found, per_image(logits, {"density": density}, {"kl": 1.0}))


class TestOutside:
    def value(self, logits, density, mask):
        return per_image(logits, {"density": density, "mask": mask}, {"kl_outside": 1.0})

    def test_is_the_divergence_of_the_pixels_outside(self):
        logits, _, mask = maps(14)
        mask = (mask > 0.5).double()
        density = torch.rand(logits.shape, dtype=torch.float64)
        found = self.value(logits, density, mask)
        for i in range(3):
            out = (mask[i] == 0).ravel().numpy()
            p, q = np.exp(logits[i].ravel().numpy())[out], density[i].ravel().numpy()[out]
            assert found[i].item() == pytest.approx(metrics.kl(p[None], q[None], eps=1e-300), rel=1e-6)

    def test_what_is_inside_does_not_matter(self):
        logits, _, mask = maps(15)
        mask = (mask > 0.5).double()
        density = torch.rand(logits.shape, dtype=torch.float64)
        assert_allclose(self.value(logits + 3 * mask, density * (1 + mask), mask), self.value(logits, density, mask))


def test_edited_images_may_take_every_loss():
    assert set(EDIT_LOSSES) == {*LOSSES, "agreement", "increase", "soft_target", "kl_outside"}


def network(seed=0):
    torch.manual_seed(seed)
    first, last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 1, 1)
    return nn.Sequential(first, nn.BatchNorm2d(8), nn.SiLU(), nn.Dropout2d(0.5), last, nn.Flatten(1, 2))


RECIPE = Recipe(size=SIZE, epochs=2, batch_size=4, learning_rate=0.02, warmup_steps=2, p=0.5)


class Plain(LearnedMethod):
    """Counts its passes."""

    def __init__(self, recipe=RECIPE):
        super().__init__()
        self.recipe, self.runtime, self.passes = recipe, Runtime(progress=False), []

    def preprocess(self, images):
        return images.permute(0, 3, 1, 2).float() / 255 - 0.5

    def logits(self, network, images, samples):
        self.passes.append((len(images), len(samples), network.training, torch.is_grad_enabled()))
        return super().logits(network, images, samples)

    def code_hash(self):
        return "plain"


class TestLoss:
    @pytest.fixture
    def batch(self, samples, edit_set):
        batch = batches(TrainingSet(samples, SIZE, edits=edit_set, p=0.4), 0, 8)[0].part(0, 1, "cpu")
        assert 0 < len(batch.edits.places) < 8
        return batch

    def loss(self, batch, net=None, **changes):
        torch.manual_seed(0)
        method = Plain(replace(RECIPE, **changes))
        return method.loss(net or network(), batch), method

    def test_is_the_mean_of_each_images_own(self, batch):
        net = network().eval()  # so that one pass is like another
        value, _ = self.loss(batch, net, losses={"kl": 1.0}, edit_losses={"agreement": 2.0, "cc": 0.5, "increase": 3.0})
        expected, k = [], 0
        for i, sample in enumerate(batch.samples):
            logits = Plain().logits(net, batch.images[i : i + 1], [sample])
            if sample.edit is None:
                expected.append(kl(logits, batch.density[i : i + 1]).item())
                continue
            original = Plain().logits(net, batch.edits.originals[k : k + 1], [sample])
            mask, direction = batch.edits.masks[k : k + 1], batch.edits.directions[k : k + 1]
            correlation = np.corrcoef(logits.detach().double().exp().ravel(), batch.density[i].ravel())[0, 1]
            expected.append(
                2 * agreement(logits, original, mask).item() - 0.5 * correlation
                + 3 * increase(logits, original, mask, direction).item()
            )  # fmt: skip
            k += 1
        assert k == len(batch.edits.places)
        assert value.item() == pytest.approx(np.mean(expected), rel=1e-4)

    def test_the_originals_are_predicted_once_without_gradient_or_dropout(self, batch):
        _, method = self.loss(batch)
        assert method.passes == [(8, 8, True, True), (len(batch.edits.places),) * 2 + (False, False)]

    def test_only_where_a_loss_needs_them(self, batch):
        value, method = self.loss(batch, losses={"kl": 1.0}, edit_losses={"kl": 1.0})
        assert method.passes == [(8, 8, True, True)]
        without, _ = self.loss(batch._replace(edits=None), losses={"kl": 1.0})
        assert value.item() == pytest.approx(without.item(), rel=1e-6)

    def test_the_network_is_left_as_it_was(self, batch):
        net = network()
        before = {name: t.clone() for name, t in net.state_dict().items()}
        Plain()._logits_of_originals(net, batch.edits.originals, [None] * len(batch.edits.places))
        assert net.training
        assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())

    @pytest.mark.parametrize("edit_losses", [{"agreement": 1.0}, {"increase": 1.0}, {"kl": 1.0, "increase": 0.5}])
    def test_a_batch_of_edits_only(self, samples, edit_set, edit_losses):
        data, net = TrainingSet(samples[:6], SIZE, edits=edit_set, p=0.0), network()
        value, _ = self.loss(batches(data, 0, 6)[0].part(0, 1, "cpu"), net, edit_losses=edit_losses)
        value.backward()
        assert value.isfinite()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())

    def test_unknown_names_are_told_by_the_recipe(self):
        known = "kl, cc, nss, sim, agreement, increase, soft_target, kl_outside"
        with pytest.raises(ValueError, match=f"expected names among {known}, got agrement"):
            replace(RECIPE, edit_losses={"agrement": 1.0})
        with pytest.raises(ValueError, match=f"expected names among {known}, got no loss"):
            replace(RECIPE, edit_losses={})


class TestSplit:
    def test_samples_without_fixations_are_always_trained_on(self, make_spots):
        mixed = [replace(s, fixations=None, observers=None) if i % 2 else s for i, s in enumerate(make_spots(40))]
        train, validation = split(mixed, 0.5)
        assert len(validation) > 3
        assert all(s.fixations is not None for s in validation)
        assert {s.id for s in mixed if s.fixations is None} <= {s.id for s in train}
        sides = [{s.id for s in split(some, 0.5)[1]} for some in (mixed, make_spots(40))]
        assert sides[0] < sides[1], "the others stay on their sides"


class TestTrainer:
    @pytest.fixture
    def trainer(self, samples, edit_set, make_spots, tmp_path):
        def make(folder="run", recipe=RECIPE, edits=edit_set, stop_at=None, samples=samples):
            plan = Plan(folder=tmp_path / folder, edits=edits)
            one = Trainer(network(), Plain(recipe), samples, make_spots(3, seed=1), plan)
            kept = one._train_on

            def train_on(batch):
                if one.step == stop_at:
                    raise KeyboardInterrupt
                return kept(batch)

            one._train_on = train_on
            return one

        return make

    def test_killed_and_resumed(self, trainer):
        whole = trainer("whole").run().tensors
        with pytest.raises(KeyboardInterrupt):
            trainer(stop_at=3).run()
        again = trainer().run().tensors
        assert all(torch.equal(t, again[name]) for name, t in whole.items())

    def test_edits_change_what_is_learned(self, trainer):
        one = trainer("edits").run().tensors
        other = trainer("without", recipe=replace(RECIPE, p=None), edits=None).run().tensors
        assert not torch.equal(one["0.weight"], other["0.weight"])

    def test_with_other_edits_it_is_another_training(self, trainer, samples, tmp_path):
        with pytest.raises(KeyboardInterrupt):
            trainer(stop_at=2).run()
        others = write_edits(tmp_path / "others", samples[:6], shape=(40, 40))
        with pytest.raises(TrainingProblem, match=r"\(the edits differ\)\. Choose another folder"):
            trainer(edits=others).run()
        with pytest.raises(TrainingProblem, match=r"\(the edits differ\)\. Choose another folder"):
            trainer(edits=None).run()
        with pytest.raises(TrainingProblem, match=r"recipe\.edit_losses\.kl 1\.0 instead of nothing"):
            trainer(recipe=replace(RECIPE, edit_losses={"kl": 1.0})).run()

    def test_the_record_says_what_was_shown(self, trainer):
        strengths = {"bright": (2.0, 2.0), "dark": (0.1, 0.1)}
        assert trainer().run().record.data.edits == EditCounts(12, strengths, 0.5)

    def test_a_loss_that_needs_fixations_where_no_edited_image_has_any_is_refused(self, trainer, samples):
        def blind(some):
            return [
                replace(s, fixations=None, observers=None, read_density=lambda s=s: to_arrays(s, s.size)[1])
                for s in some
            ]

        for_nss = replace(RECIPE, edit_losses={"agreement": 1.0, "nss": 0.1})
        with pytest.raises(NoTrainingData, match="edit losses: nss needs fixations, but no edited image has any"):
            trainer(recipe=for_nss, samples=[*blind(samples[:6]), *samples[6:]])
        trainer(recipe=for_nss, samples=[*blind(samples[:5]), *samples[5:]])
        trainer(samples=[*blind(samples[:6]), *samples[6:]])

    def test_increase_teaches_the_direction(self, make_spots, tmp_path):
        """Brighter regions are said to gain, black ones to lose: after training they do, as far as the margin asks."""
        samples = make_spots(12)
        edit_set = write_edits(tmp_path / "edits", samples)
        recipe = replace(RECIPE, epochs=8, p=0.0, edit_losses={"increase": 1.0})
        net, method = network(), Plain(recipe)
        one = Trainer(net, method, samples, make_spots(2, seed=1), Plan(folder=tmp_path / "run", edits=edit_set))

        def fallen_short():
            (batch,) = one.data.batches(0, 12)
            torch.manual_seed(0)
            with torch.no_grad():
                return method.loss(net.eval(), batch.part(0, 1, "cpu")).item()

        before = fallen_short()
        one.run()
        assert fallen_short() < 0.5 * before


class TestMethod:
    """A learned method with a network of a second."""

    @pytest.fixture
    def fit(self, add_learned, tmp_path):
        add_learned("own")

        def fitted(samples, edit_set, **recipe):
            plan = Plan(folder=tmp_path / "run", edits=edit_set, recipe={"epochs": 1, **recipe})
            return registry.create("own", Runtime(progress=False)).fit(samples, plan)

        return fitted

    def test_knows_and_notes_its_edits(self, fit, samples, edit_set, tmp_path):
        method = fit(samples, edit_set, p=0.25)
        for known in (method, registry.create(f"own:{tmp_path / 'run'}")):
            assert known.knows_edits(edit_set.fingerprint)
            assert not known.knows_edits("0123456789abcdef")
            shown = known.trained.record.data.edits.images
            assert 0 < shown <= 12
            assert known.notes()[1] == f"trained with edits: {shown} images, bright 2, dark 0.1, p 0.25."

    def test_knows_each_of_several_sets(self, fit, samples, tmp_path):
        sets = [write_edits(tmp_path / name, some) for name, some in (("a", samples[:3]), ("b", samples[3:6]))]
        method = fit(samples, edits.join(sets), p=0.5, batch_size=2)
        assert all(method.knows_edits(one.fingerprint) for one in sets)

    def test_without_p_it_is_refused(self, fit, samples, edit_set, tmp_path):
        with pytest.raises(ValueError, match="edits: expected p, the probability of the original"):
            fit(samples, edit_set)
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("workers", [1, 4])
    def test_batches_do_not_depend_on_the_number_of_threads(self, samples, edit_set, workers):
        one, other = (TrainingSet(samples, SIZE, edits=edit_set, p=0.3, workers=n) for n in (2, workers))
        for a, b in zip(batches(one, 0), batches(other, 0), strict=True):
            assert a.ids == b.ids
            for first, second in zip(a.edits or (), b.edits or (), strict=True):
                assert_array_equal(first, second)
