import hashlib
import subprocess
import sys

import numpy as np
import pytest

from salbench.datasets import DatasetProblem, load, popout

DISPLAYS = [id for id in popout.IDS if not id.startswith("scene")]
SCENES = [id for id in popout.IDS if id.startswith("scene")]


@pytest.fixture(scope="module")
def dataset():
    return load("popout")


@pytest.fixture(scope="module")
def images(dataset):
    return {s.id: s.image for s in dataset.samples}


def sha256(image):
    return hashlib.sha256(image.tobytes()).hexdigest()[:16]


def inside(points, box):
    x, y, width, height = box
    return (abs(points[:, 0] - x - width / 2) <= width / 2) & (abs(points[:, 1] - y - height / 2) <= height / 2)


def features(image, background, x, y):
    """What distinguishes an item: mean RGB of what is not background (3), its area in pixels, its orientation."""
    rows, columns = np.mgrid[int(y) - 18 : int(y) + 19, int(x) - 18 : int(x) + 19] + 0.5
    inside_image = (rows > 0) & (rows < image.shape[0]) & (columns > 0) & (columns < image.shape[1])
    near = (np.hypot(columns - x, rows - y) <= 17) & inside_image
    pixels = image[rows[near].astype(int), columns[near].astype(int)].astype(float)
    weight = abs(pixels - background).sum(axis=1)
    dx, dy = columns[near] - x, y - rows[near]
    angle = np.arctan2((weight * 2 * dx * dy).sum(), (weight * (dx**2 - dy**2)).sum()) / 2
    colour = np.average(pixels, axis=0, weights=weight)
    return colour, (weight > 0.5 * weight.max()).sum(), np.rad2deg(angle)


def test_thirty_images_of_one_size_in_five_families(dataset, images):
    ids = [s.id for s in dataset.samples]
    assert len(set(ids)) == 30
    assert ids[0] == "color_01"
    assert ids[-1] == "scene_06"
    assert {f: sum(id.startswith(f) for id in ids) for f in popout.FAMILIES} == dict.fromkeys(popout.FAMILIES, 6)
    assert all(image.shape == (240, 320, 3) and image.dtype == np.uint8 for image in images.values())
    assert all(s.sigma == pytest.approx(9.6) for s in dataset.samples)


def test_it_says_that_nobody_looked(dataset):
    assert dataset.gaze == "simulated"
    assert dataset.licence == "MIT (generated)"
    assert "salbench" in dataset.citation


def test_ten_observers_make_six_fixations_each_inside_the_image(dataset):
    for s in dataset.samples:
        assert s.fixations.shape == (60, 2)
        assert (s.fixations >= 0).all()
        assert (s.fixations < (320, 240)).all()
        assert np.bincount(s.observers).tolist() == [6] * 10
    fractions = np.concatenate([s.fixations for s in dataset.samples]) % 1
    assert abs(fractions.mean(axis=0) - 0.5).max() < 0.03  # 1800 uniform values: standard error 0.007


def test_the_bytes_never_change(dataset, images):
    assert dataset.fingerprint == "fd47fb2d4a1f104c"
    assert sha256(images["color_01"]) == "7d5f95ebebbac0ee"
    assert sha256(images["scene_01"]) == "68d22b802f6f9520"


def test_another_process_makes_the_same_bytes(dataset, images):
    """Of every third image."""
    code = (
        "import hashlib; from salbench.datasets import load; d = load('popout');"
        "print(d.fingerprint, *(hashlib.sha256(s.image.tobytes()).hexdigest()[:16] for s in d.samples[::3]))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == [dataset.fingerprint, *(sha256(image) for image in list(images.values())[::3])]


def test_every_image_is_another(images):
    assert len({sha256(image) for image in images.values()}) == 30


def test_density_is_positive_and_sums_to_one():
    for id in popout.IDS:
        density = popout.true_density(id)
        assert density.shape == (240, 320)
        assert density.min() > 0
        assert density.sum() == pytest.approx(1, abs=1e-12)


def test_fixations_follow_the_density_cell_by_cell(dataset):
    # Pearson's statistic over 40-pixel cells, those with an expectation under 1 together; pooled over images.
    statistic = freedom = 0
    for s in dataset.samples:
        expected = 60 * popout.true_density(s.id).reshape(6, 40, 8, 40).sum(axis=(1, 3)).ravel()
        cell = s.fixations[:, 1] // 40 * 8 + s.fixations[:, 0] // 40
        counts = np.bincount(cell.astype(int), minlength=48)
        rare = expected < 1
        expected = np.append(expected[~rare], expected[rare].sum())
        counts = np.append(counts[~rare], counts[rare].sum())
        statistic += ((counts - expected) ** 2 / expected).sum()
        freedom += len(counts) - 1
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


def test_fixations_have_the_log_likelihood_that_the_density_promises(dataset):
    measured, expected, variance = 0.0, 0.0, 0.0
    for s in dataset.samples:
        density = popout.true_density(s.id)
        column, row = s.fixations.astype(int).T
        measured += np.log(density[row, column]).sum()
        mean = (density * np.log(density)).sum()
        expected += 60 * mean
        variance += 60 * (density * (np.log(density) - mean) ** 2).sum()
    assert abs(measured - expected) < 4 * np.sqrt(variance)


@pytest.mark.parametrize("id", DISPLAYS)
def test_the_singleton_gets_most_of_the_gaze(id, dataset):
    sample = dataset.samples[popout.IDS.index(id)]
    ((x, y, width, height),) = sample.boxes
    center = np.array([x + width / 2, y + height / 2])
    density = popout.true_density(id)
    row, column = np.unravel_index(density.argmax(), density.shape)
    assert abs(center - (column + 0.5, row + 0.5)).max() < 0.6  # the pixel at the centre, not its neighbour
    around = np.array([*center - 20, 40, 40])
    pixels = np.stack(np.meshgrid(np.arange(320) + 0.5, np.arange(240) + 0.5), axis=-1).reshape(-1, 2)
    assert density.ravel()[inside(pixels, around)].sum() > 0.55
    assert inside(sample.fixations, around).mean() > 0.4


@pytest.mark.parametrize("id", SCENES)
def test_the_objects_of_a_scene_get_most_of_the_gaze_the_strongest_most(id, dataset):
    boxes = dataset.samples[popout.IDS.index(id)].boxes
    density = popout.true_density(id)
    mass = [density[int(y) : int(y + height), int(x) : int(x + width)].sum() for x, y, width, height in boxes]
    assert len(boxes) in (3, 4)
    assert mass == sorted(mass, reverse=True)
    assert sum(mass) > 0.5


@pytest.mark.parametrize("id", DISPLAYS)
def test_exactly_one_item_differs_and_in_its_own_feature_alone(id, dataset, images):
    ((x, y, width, height),) = dataset.samples[popout.IDS.index(id)].boxes
    items, background = popout._items(id), np.median(images[id].reshape(-1, 3), axis=0)
    places = zip(items.x, items.y, strict=True)
    colours, areas, angles = zip(*(features(images[id], background, *at) for at in places), strict=True)
    assert (items.x[items.target], items.y[items.target]) == (x + width / 2, y + height / 2)
    others = np.delete(np.arange(len(areas)), items.target)
    far = {
        "colour": np.linalg.norm(np.array(colours) - np.median(colours, axis=0), axis=1),
        "size": abs(np.log(np.array(areas) / np.median(areas))),
    }
    if popout._design(id).common.half_length > popout._design(id).common.half_width:
        axis = np.exp(2j * np.deg2rad(angles))
        far["orientation"] = np.rad2deg(abs(np.angle(axis / axis[others].mean()))) / 2
    unusual = {"colour": 60, "size": 0.6, "orientation": 25}
    family = {"color": "colour", "luminance": "colour"}.get(id[:-3], id[:-3])
    for name, distance in far.items():
        assert distance[others].max() < unusual[name] / 2, name
        assert (distance[items.target] > unusual[name]) == (name == family), name


@pytest.mark.parametrize("id", SCENES)
def test_a_scene_has_the_spectrum_of_natural_images(id, images):
    # the slope of log amplitude over log frequency, between 4 and 60 cycles per image height; objects add little
    grey = images[id].mean(axis=2)[:, :240]
    window = np.hanning(240)
    amplitude = abs(np.fft.fft2((grey - grey.mean()) * window * window[:, None]))
    frequency = 240 * np.hypot(np.fft.fftfreq(240)[:, None], np.fft.fftfreq(240))
    band = (frequency > 4) & (frequency < 60)
    slope = np.polyfit(np.log(frequency[band]), np.log(amplitude[band]), 1)[0]
    assert -1.3 < slope < -0.7


def test_targets_are_off_the_centre_and_differ_between_images(dataset):
    boxes = np.array([s.boxes[0] for s in dataset.samples])
    centers = boxes[:, :2] + boxes[:, 2:] / 2
    assert (np.hypot(*((centers / (320, 240) - 0.5).T)) > 0.15).all()
    assert len(np.unique(centers.round(), axis=0)) == 30
    assert abs(centers.mean(axis=0) / (320, 240) - 0.5).max() < 0.1


def test_a_model_that_knows_the_density_beats_the_centre_and_the_centre_beats_chance(dataset):
    rows, columns = np.mgrid[:240, :320] + 0.5
    centre = np.exp(-0.5 * (((columns - 160) / 80) ** 2 + ((rows - 120) / 60) ** 2))

    def mean_auc(read):
        scores = []
        for s in dataset.samples:
            values, (column, row) = read(s.id), s.fixations.astype(int).T
            scores.append(np.searchsorted(np.sort(values.ravel()), values[row, column]).mean() / values.size)
        return np.mean(scores)

    assert mean_auc(popout.true_density) > 0.88
    assert 0.55 < mean_auc(lambda id: centre) < 0.68


def test_an_unknown_id_or_split_is_an_error_that_says_what_was_expected():
    with pytest.raises(ValueError, match="color_01 to scene_06, got 'color_07'"):
        popout.true_density("color_07")
    with pytest.raises(ValueError, match="got 'color'"):
        popout.draw("color")
    with pytest.raises(DatasetProblem, match="'all', got 'val'"):
        popout.load("val")


def test_loading_needs_no_files_and_no_rendering(monkeypatch, tmp_path):
    monkeypatch.setattr(popout, "draw", lambda id: pytest.fail("rendered while loading"))
    assert len(load("popout", tmp_path / "absent").samples) == 30
