"""What training is fed: arrays of one size, in batches that seed and epoch determine."""

import threading
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import gaussian_filter
from skimage.measure import block_reduce

from salbench.augment import augment
from salbench.files import FileProblem, read_image
from salbench.maps import density_from_fixations, resize
from salbench.metrics import cc, kl, sim
from salbench.sample import Sample
from salbench.training.data import Batch, EditBatch, NoTrainingData, TrainingSet, to_arrays

SIZE = (24, 32)


def grey(size, level=100):
    return np.full((*size, 3), level, np.uint8)


def sample_of(fixations, size=SIZE, **others):
    others = {"sigma": 2.0, "read_image": partial(grey, size)} | others
    return Sample(id="one", size=size, fixations=np.array(fixations, float).reshape(-1, 2), **others)


def collect(data, epoch, batch_size=2):
    """Batches of an epoch as (ids, images, density, counts)."""
    return [tuple(batch)[:4] for batch in data.batches(epoch, batch_size)]


def ids(batches):
    return [id for batch in batches for id in batch[0]]


def assert_same(first, second):
    assert ids(first) == ids(second)
    for one, other in zip(first, second, strict=True):
        for a, b in zip(one[1:], other[1:], strict=True):
            assert_array_equal(a, b)


class Counted:
    """Counts how often each image of some samples is read."""

    def __init__(self, samples):
        self.reads = Counter()
        self.samples = [replace(s, read_image=partial(self._read, s)) for s in samples]

    def _read(self, sample):
        self.reads[sample.id] += 1
        return sample.read_image()


class TestToArrays:
    def test_types_and_sizes(self):
        image, density, counts = to_arrays(sample_of([(3, 4)], (48, 80)), SIZE)
        assert image.shape == (*SIZE, 3)
        assert density.shape == counts.shape == SIZE
        assert (image.dtype, density.dtype, counts.dtype) == (np.uint8, np.float16, np.uint16)
        assert (image == 100).all()

    def test_an_image_of_the_size_stays_as_it_is(self, make_spots):
        (sample,) = make_spots(1)
        assert_array_equal(to_arrays(sample, SIZE)[0], sample.image)

    def test_a_smaller_image_is_averaged(self):
        halves = np.zeros((48, 64, 3), np.uint8)
        halves[:, 32:] = (200, 100, 50)
        image, _, _ = to_arrays(sample_of([(3, 4)], (48, 64), read_image=lambda: halves), SIZE)
        assert (image[:, :15] == 0).all()
        assert (image[:, 17:] == (200, 100, 50)).all()

    @pytest.mark.parametrize(
        ("point", "pixel"),
        [
            ((0, 0), (0, 0)),
            ((63.999, 47.999), (23, 31)),
            ((np.nextafter(64, 0), np.nextafter(48, 0)), (23, 31)),
            ((63.999, 0), (0, 31)),
            ((10.0, 20.0), (10, 5)),
            ((9.999, 19.999), (9, 4)),
        ],
    )
    @pytest.mark.parametrize("size", [SIZE, (48, 64), (96, 128)])
    def test_counts_lie_where_the_fixations_fall(self, point, pixel, size):
        """An image of 48 x 64 at half, the same and twice its size; a fixation at the far border stays inside."""
        *_, counts = to_arrays(sample_of([point], (48, 64)), size)
        scale = size[0] / 24
        assert counts.sum() == 1
        (found,) = np.argwhere(counts)
        assert_array_equal(np.floor((found + 0.5) / scale), pixel)

    def test_rounding_carries_no_fixation_over_the_border(self):
        for length in range(41, 64):
            last = np.nextafter(length, 0)
            for size in range(1, 41):
                *_, counts = to_arrays(sample_of([(last, last)], (length, length)), (size, size))
                assert counts[-1, -1] == 1

    def test_every_fixation_counts(self):
        *_, counts = to_arrays(sample_of([(2, 2), (2.5, 2.9), (3.9, 2), (40, 2)], (48, 64)), SIZE)
        assert counts[1, 1] == 3
        assert counts[1, 20] == 1
        assert counts.sum() == 4

    def test_more_fixations_on_a_pixel_than_a_byte_holds(self):
        *_, counts = to_arrays(sample_of([(5, 5)] * 300), SIZE)
        assert counts[5, 5] == 300

    def test_density_is_made_of_the_fixations_with_sigma_scaled(self):
        points = np.array([(20, 30), (22, 30), (100, 60)])
        _, density, _ = to_arrays(sample_of(points, (96, 128), sigma=12.0), SIZE)
        expected = density_from_fixations(points / 4, SIZE, 3.0)
        assert density.max() == 1
        assert_allclose(density, expected / expected.max(), rtol=1e-3, atol=1e-6)

    def test_sigma_is_scaled_along_each_axis(self):
        _, density, _ = to_arrays(sample_of([(65, 49)], (96, 128), sigma=12.0), (96, 32))
        expected = density_from_fixations([(16.25, 49)], (96, 32), (12.0, 3.0))
        assert_allclose(density, expected / expected.max(), rtol=1e-3, atol=1e-6)

    @pytest.mark.parametrize("size", [(512, 512), (300, 400), (256, 512)])
    def test_the_density_is_that_of_the_evaluation_resized(self, size):
        """Whatever the network's input does to the ratio of height and width."""
        rng = np.random.default_rng(0)
        points = np.clip(rng.normal((420, 280), (150, 90), (140, 2)), 0, (799, 599))
        _, density, _ = to_arrays(sample_of(points, (600, 800), sigma=24.0), size)
        counts = np.zeros((600, 800))
        np.add.at(counts, tuple(points[:, ::-1].astype(int).T), 1)
        expected = resize(gaussian_filter(counts, 24.0), size)
        assert kl(density, expected) < 0.001
        assert cc(density, expected) > 0.9995
        assert sim(density, expected) > 0.99

    def test_density_keeps_its_shape_in_half_precision(self):
        _, density, _ = to_arrays(sample_of([(9, 9), (28, 20)]), SIZE)
        assert np.unravel_index(density.argmax(), SIZE) in [(9, 9), (20, 28)]
        density = density.astype(float) / density.astype(float).sum()
        expected = density_from_fixations([(9, 9), (28, 20)], SIZE, 2.0) / 2
        assert np.abs(density - expected).sum() < 1e-3

    def test_the_distributed_density_comes_first(self):
        given = density_from_fixations([(40, 10)], (48, 64), 5.0)
        sample = sample_of([(3, 4)], (48, 64), read_density=lambda: given)
        _, density, counts = to_arrays(sample, SIZE)
        expected = resize(given, SIZE)
        assert np.unravel_index(density.argmax(), SIZE) == (5, 20)
        assert_allclose(density, expected / expected.max(), rtol=1e-3, atol=1e-6)
        assert counts[2, 1] == 1

    def test_a_density_without_fixations(self):
        given = density_from_fixations([(4, 4)], SIZE, 2.0)
        sample = replace(sample_of([]), fixations=None, read_density=lambda: given)
        _, density, counts = to_arrays(sample, SIZE)
        assert density[4, 4] == 1
        assert not counts.any()

    def test_a_density_of_zeros_stays_zero(self):
        _, density, _ = to_arrays(sample_of([(1, 1)], read_density=lambda: np.zeros(SIZE)), SIZE)
        assert (density == 0).all()

    def test_a_broken_density_names_the_sample(self):
        with pytest.raises(ValueError, match=r"^one: .*NaN"):
            to_arrays(sample_of([(1, 1)], read_density=lambda: np.full((7, 7), np.nan)), SIZE)

    def test_an_image_of_another_size_than_was_said_names_the_sample(self):
        with pytest.raises(ValueError, match=r"one: expected a uint8 \(24, 32, 3\) image"):
            to_arrays(sample_of([(1, 1)], read_image=lambda: grey((10, 10))), SIZE)


class TestBatches:
    def test_what_a_batch_holds(self, make_spots):
        samples = make_spots(4)
        by_id = {s.id: to_arrays(s, SIZE) for s in samples}
        for batch in collect(TrainingSet(samples, SIZE), 0):
            names, images, densities, counts = batch
            assert images.dtype == np.uint8
            assert densities.dtype == counts.dtype == np.float32
            for i, name in enumerate(names):
                for array, expected in zip((images, densities, counts), by_id[name], strict=True):
                    assert_array_equal(array[i], expected)

    @pytest.mark.parametrize("jitter", [(), ("hflip", "color_jitter")])
    def test_seed_and_epoch_determine_them(self, make_spots, jitter):
        samples = make_spots(7)
        first = TrainingSet(samples, SIZE, jitter=jitter, seed=3)
        second = TrainingSet(samples, SIZE, jitter=jitter, seed=3)
        later = collect(first, 4)
        for epoch in range(5):  # that the other has seen these epochs and cached its arrays does not matter
            latest = collect(second, epoch)
        assert_same(later, latest)
        assert_same(later, collect(first, 4))

    def test_other_epochs_and_seeds_have_another_order(self, make_spots):
        samples = make_spots(8)
        data = TrainingSet(samples, SIZE, seed=3)
        orders = [tuple(ids(collect(data, epoch))) for epoch in range(4)]
        orders.append(tuple(ids(collect(TrainingSet(samples, SIZE, seed=4), 0))))
        assert len(set(orders)) == 5

    @pytest.mark.parametrize(("number", "batch_size", "sizes"), [(8, 4, [4, 4]), (7, 2, [2] * 3), (3, 3, [3])])
    def test_every_sample_at_most_once_per_epoch(self, make_spots, number, batch_size, sizes):
        batches = collect(TrainingSet(make_spots(number), SIZE), 0, batch_size)
        assert [len(b[0]) for b in batches] == sizes
        assert [len(b[1]) for b in batches] == sizes
        assert max(Counter(ids(batches)).values()) == 1

    def test_over_the_epochs_all_are_seen(self, make_spots):
        data = TrainingSet(make_spots(5), SIZE)
        assert {id for epoch in range(8) for id in ids(collect(data, epoch, 4))} == {f"spot_0_{i}" for i in range(5)}

    def test_fewer_samples_than_a_batch_are_one_batch(self, make_spots):
        ((names, images, _, _),) = collect(TrainingSet(make_spots(3), SIZE), 0, 16)
        assert sorted(names) == ["spot_0_0", "spot_0_1", "spot_0_2"]
        assert len(images) == 3

    @pytest.mark.parametrize(
        "options",
        [{"copies": ("noise_var_0.1", "hflip"), "p": 0.3}, {"copies": ("hflip",)}, {"jitter": ("random_zoom",)}],
    )
    def test_do_not_depend_on_the_number_of_threads(self, make_spots, options):
        samples = make_spots(9)
        one, four = (TrainingSet(samples, SIZE, seed=3, workers=n, **options) for n in (1, 4))
        for epoch in range(2):
            assert_same(collect(one, epoch), collect(four, epoch))

    def test_several_threads_prepare_images_at_once(self, make_spots):
        meeting = threading.Barrier(3, timeout=10)  # breaks unless three threads are inside

        def read(sample):
            meeting.wait()
            return sample.read_image()

        samples = [replace(s, read_image=partial(read, s)) for s in make_spots(6)]
        assert len(collect(TrainingSet(samples, SIZE, workers=3), 0)) == 3

    def test_stopping_early_ends_the_threads(self, make_spots):
        before = threading.active_count()
        batches = TrainingSet(make_spots(20), SIZE, workers=2).batches(0, 2)
        next(batches)
        assert before < threading.active_count() <= before + 2
        batches.close()
        assert threading.active_count() == before


class TestPooled:
    def test_ground_truth_in_cells(self):
        rng = np.random.default_rng(0)
        density, counts, masks = rng.random((3, 2, 13, 18), np.float32)
        edits = EditBatch(np.arange(2), np.zeros((2, 13, 18, 3), np.uint8), masks, np.ones(2, np.float32))
        whole = Batch(["a", "b"], np.zeros((2, 13, 18, 3), np.uint8), density, counts, [], edits=edits)
        batch = whole.part(0, 1, "cpu").pooled(4)
        for found, full, how in (
            (batch.density, density, np.mean),
            (batch.counts, counts, np.sum),
            (batch.edits.masks, masks, np.mean),
        ):
            assert_allclose(found, block_reduce(full[:, :12, :16], (1, 4, 4), how), rtol=1e-5)
        assert batch.images.shape == (2, 13, 18, 3)

    def test_without_edits(self):
        plain = np.ones((1, 8, 8), np.float32)
        batch = Batch(["a"], np.zeros((1, 8, 8, 3), np.uint8), plain, plain, []).part(0, 1, "cpu").pooled(2)
        assert batch.edits is None


class TestJitter:
    def test_differs_between_epochs_and_moves_the_labels_along(self, make_spots):
        (sample, other) = make_spots(2)
        flipped = augment(sample, "hflip").sample
        plain, mirrored = to_arrays(sample, SIZE), to_arrays(flipped, SIZE)
        data, seen = TrainingSet([sample, other], SIZE, jitter=("hflip",), seed=1), set()
        for epoch in range(12):
            ((names, *arrays),) = collect(data, epoch)
            i = next(k for k, name in enumerate(names) if name.startswith(sample.id))
            which = "hflip" in names[i]
            seen.add(which)
            for array, expected in zip(arrays, mirrored if which else plain, strict=True):
                assert_array_equal(array[i], expected)
        assert seen == {True, False}

    def test_strength_differs_between_epochs(self, make_spots):
        data = TrainingSet(make_spots(2), SIZE, jitter=("color_jitter",), seed=1)
        versions = {
            a[1][a[0].index(n)].tobytes() for e in range(12) for a in collect(data, e) for n in a[0] if "@" in n
        }
        assert len(versions) == sum("@" in n for e in range(12) for n in ids(collect(data, e)))
        assert len(versions) > 5

    def test_one_that_loses_all_fixations_is_not_applied(self, make_spots):
        samples = [replace(s, fixations=np.array([(31.0, 23.0)]), observers=None) for s in make_spots(2)]
        assert augment(samples[0], "shear_x_0.5").empty
        data = TrainingSet(samples, SIZE, jitter=("shear_x_0.5",))
        for epoch in range(6):
            ((names, _, _, counts),) = collect(data, epoch)
            assert sorted(names) == ["spot_0_0", "spot_0_1"]
            assert_array_equal(counts[:, 23, 31], 1)


class TestCopies:
    def test_one_version_of_every_sample_per_epoch_and_all_in_turn(self, make_spots):
        data = TrainingSet(make_spots(4), SIZE, copies=("hflip", "invert"))
        assert len(data) == 4
        epochs = [sorted(ids(collect(data, epoch))) for epoch in range(3)]
        for shown in epochs:
            assert [name.partition("@")[0] for name in shown] == [f"spot_0_{i}" for i in range(4)]
        assert Counter(name for shown in epochs for name in shown) == dict.fromkeys(
            (f"spot_0_{i}{suffix}" for i in range(4) for suffix in ("", "@hflip", "@invert")), 1
        )

    def test_a_copy_is_the_augmented_sample_of_the_seed(self, make_spots):
        samples = make_spots(2)
        data = TrainingSet(samples, SIZE, copies=("noise_var_0.1",), seed=5)
        by_id = {f"{s.id}@noise_var_0.1": to_arrays(augment(s, "noise_var_0.1", seed=5).sample, SIZE) for s in samples}
        seen = set()
        for epoch in range(2):
            ((names, *arrays),) = collect(data, epoch)
            for i, name in enumerate(names):
                if name in by_id:
                    seen.add(name)
                    for array, expected in zip(arrays, by_id[name], strict=True):
                        assert_array_equal(array[i], expected)
        assert seen == set(by_id)

    def test_the_order_of_originals_does_not_depend_on_the_copies(self, make_spots):
        samples = make_spots(6)
        sets = [TrainingSet(samples, SIZE, copies=copies) for copies in ((), ("hflip",), ("invert", "vflip"))]
        for epoch in range(3):
            orders = {tuple(name.partition("@")[0] for name in ids(collect(s, epoch))) for s in sets}
            assert len(orders) == 1

    def test_copies_without_fixations_are_counted_and_left_out(self, make_spots):
        corner = np.array([(31.0, 23.0)])
        samples = [replace(s, fixations=corner, observers=None) if i % 2 else s for i, s in enumerate(make_spots(4))]
        gone = sum(augment(s, "shear_x_0.5").empty for s in samples)
        assert 2 <= gone < 4
        data = TrainingSet(samples, SIZE, copies=("hflip", "shear_x_0.5"))
        assert data.empty_copies == {"hflip": 0, "shear_x_0.5": gone}
        seen = {name for epoch in range(6) for name in ids(collect(data, epoch))}
        assert len(seen) == 4 + 4 + 4 - gone
        assert "spot_0_1@shear_x_0.5" not in seen

    @pytest.mark.parametrize("p", [None, 0.5])
    def test_an_unknown_augmentation_is_told_at_once(self, make_spots, p):
        with pytest.raises(ValueError, match="hflap"):
            TrainingSet(make_spots(2), SIZE, copies=("hflap",), p=p)

    def test_labels_as_released_stay_where_they_were(self, make_spots):
        (sample, other) = make_spots(2)
        data = TrainingSet([sample, other], SIZE, copies=("hflip",), labels="as_released")
        image, density, counts = to_arrays(sample, SIZE)
        shown = {n: a for e in range(2) for batch in collect(data, e) for n, *a in zip(*batch, strict=True)}
        assert_array_equal(shown[f"{sample.id}@hflip"][0], image[:, ::-1])
        assert_array_equal(shown[f"{sample.id}@hflip"][1], density.astype(np.float32))
        assert_array_equal(shown[f"{sample.id}@hflip"][2], counts)


class TestReplacing:
    def test_about_as_many_originals_as_p_says(self, make_spots):
        data = TrainingSet(make_spots(20), SIZE, copies=("hflip", "invert"), p=0.7)
        shown = Counter(name.partition("@")[2] for epoch in range(20) for name in ids(collect(data, epoch, 20)))
        assert shown.total() == 400
        assert 250 <= shown[""] <= 310  # 280 +- 3 standard deviations
        assert min(shown["hflip"], shown["invert"]) > 30

    @pytest.mark.parametrize(("p", "suffix"), [(0.0, "@hflip"), (1.0, "")])
    def test_never_and_always(self, make_spots, p, suffix):
        data = TrainingSet(make_spots(5), SIZE, copies=("hflip",), p=p)
        shown = {name for epoch in range(4) for name in ids(collect(data, epoch, 5))}
        assert shown == {f"spot_0_{i}{suffix}" for i in range(5)}

    def test_drawn_anew_in_every_epoch_and_the_same_again(self, make_spots):
        samples = make_spots(3)
        data = TrainingSet(samples, SIZE, copies=("noise_var_0.1",), p=0.0)
        images = {b[1].tobytes() for epoch in range(4) for b in collect(data, epoch, 1)}
        assert len(images) == 3 * 4
        again = TrainingSet(samples, SIZE, copies=("noise_var_0.1",), p=0.0)
        assert_same(collect(data, 2), collect(again, 2))

    def test_the_original_where_no_fixation_is_left(self, make_spots):
        samples = [replace(s, fixations=np.array([(31.0, 23.0)]), observers=None) for s in make_spots(2)]
        data = TrainingSet(samples, SIZE, copies=("shear_x_0.5",), p=0.0)
        assert sorted(ids(collect(data, 0))) == ["spot_0_0", "spot_0_1"]


class TestCache:
    @pytest.mark.parametrize("kept", [0, 2, 6])
    def test_keeps_what_the_budget_allows_and_reads_the_rest_again(self, make_spots, kept):
        counted = Counted(make_spots(6))
        one = sum(a.nbytes for a in to_arrays(counted.samples[0], SIZE))
        data = TrainingSet(counted.samples, SIZE, budget=kept * one + one - 1)
        counted.reads.clear()
        first = collect(data, 0)
        assert counted.reads.total() == 6
        second = collect(data, 0)
        assert counted.reads.total() == 6 + 6 - kept
        assert sum(a.nbytes for arrays in data._kept.values() for a in arrays) == kept * one
        assert_same(first, second)

    def test_copies_count_too(self, make_spots):
        counted = Counted(make_spots(4))
        one = sum(a.nbytes for a in to_arrays(counted.samples[0], SIZE))
        data = TrainingSet(counted.samples, SIZE, copies=("hflip",), budget=5 * one)
        for epoch in range(4):
            collect(data, epoch)
        assert sum(a.nbytes for arrays in data._kept.values() for a in arrays) == 5 * one

    @pytest.mark.parametrize(("jitter", "reads_again"), [(("hflip",), False), (("hflip", "color_jitter"), True)])
    def test_mirror_images_are_kept_random_changes_are_not(self, make_spots, jitter, reads_again):
        counted = Counted(make_spots(4))
        data = TrainingSet(counted.samples, SIZE, jitter=jitter)
        for epoch in range(12):  # by now every image was shown in both directions, but for chance of 2 in 1000
            collect(data, epoch)
        counted.reads.clear()
        again = [collect(data, epoch) for epoch in range(12)]
        assert (counted.reads.total() > 0) == reads_again
        for epoch, batches in enumerate(again):
            assert_same(batches, collect(TrainingSet(make_spots(4), SIZE, jitter=jitter), epoch))

    def test_what_was_handed_out_may_be_written_to(self, make_spots):
        data = TrainingSet(make_spots(2), SIZE)
        first = collect(data, 0)
        for array in first[0][1:]:
            array += 1
        second = collect(data, 0)
        assert_array_equal(second[0][2] + 1, first[0][2])


class TestBadInput:
    def test_samples_without_fixations_are_left_out_with_a_warning(self, make_spots, warned):
        samples = make_spots(5)
        samples[1] = replace(samples[1], fixations=np.empty((0, 2)), observers=None)
        samples[3] = replace(samples[3], fixations=None, observers=None)
        data = TrainingSet(samples, SIZE)
        assert warned == ["2 images without fixations are left out of training"]
        assert sorted(ids(collect(data, 0, 3))) == ["spot_0_0", "spot_0_2", "spot_0_4"]

    def test_no_warning_without_reason(self, make_spots, warned):
        TrainingSet(make_spots(2), SIZE)
        assert warned == []

    def test_a_distributed_density_is_enough(self, make_spots):
        density = density_from_fixations([(4, 4)], SIZE, 2.0)
        samples = [replace(s, fixations=None, observers=None, read_density=lambda: density) for s in make_spots(2)]
        assert len(TrainingSet(samples, SIZE)) == 2

    @pytest.mark.parametrize("number", [0, 1])
    def test_nothing_to_learn_from(self, make_spots, number):
        empty = replace(make_spots(3)[2], fixations=np.empty((0, 2)), observers=None)
        with pytest.raises(NoTrainingData, match=f"at least two images with fixations to train on, got {number}"):
            TrainingSet([*make_spots(number), empty], SIZE)

    def test_a_corrupt_image_is_named(self, make_spots, tmp_path):
        path = tmp_path / "broken.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n but nothing more")
        samples = make_spots(4)
        samples[2] = replace(samples[2], read_image=partial(read_image, path))
        with pytest.raises(FileProblem, match=r"broken\.png: not a readable picture"):
            collect(TrainingSet(samples, SIZE), 0)
