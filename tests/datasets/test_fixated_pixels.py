"""The data sets whose fixations are maps of pixels: MIT1003, CAT2000, FIGRIM and Toronto."""

import numpy as np
import pytest
import scipy.io
from builders import fixated, published, write_fix_locs, write_image
from PIL import Image

from salbench import results
from salbench.datasets import DatasetProblem, allow_partial, cat2000, figrim, load, mit1003, toronto
from salbench.datasets._common import Published
from salbench.evaluation import Evaluation
from salbench.protocol import PROTOCOLS
from salbench.runtime import Runtime

MIT_SIZES = {"i1": (768, 1024), "istatic_a": (1024, 405), "i05june05_static_street_boston_p1010764": (768, 1024)}
STRAY = "i05june05_static_street_boston_p1010764fixPts.jpg"


@pytest.fixture
def mit(tmp_path, monkeypatch):
    """MIT1003 with three images; one has the stray file of the release. Returns its fixated pixels by stem."""
    pixels, folder = {}, tmp_path / "MIT1003"
    (folder / "ALLFIXATIONMAPS").mkdir(parents=True)
    for seed, (stem, size) in enumerate(MIT_SIZES.items()):
        values, pixels[stem] = fixated(size, seed)
        write_image(folder / "ALLSTIMULI" / f"{stem}.jpeg", size)
        Image.fromarray(values * 255).save(folder / "ALLFIXATIONMAPS" / f"{stem}_fixPts.jpg", quality=75)
        write_image(folder / "ALLFIXATIONMAPS" / f"{stem}_fixMap.jpg", size)
    write_image(folder / "ALLFIXATIONMAPS" / STRAY, (768, 1024))
    monkeypatch.setattr(mit1003, "EXPECTED", Published(3))
    return pixels


def write_categories(base, images, locs, size, stems):
    """{id: fixated pixels} of a tree with one folder per category."""
    pixels = {}
    for seed, id in enumerate(stems):
        values, pixels[id] = fixated(size, seed)
        write_image(base / images / f"{id}.jpg", size)
        write_fix_locs(base / locs / f"{id}.mat", values)
    return pixels


@pytest.fixture
def cat(tmp_path, monkeypatch):
    """CAT2000 with two images in each of two categories, and a map of somebody else in each folder Output."""
    ids = ["Action/001", "Action/003", "Social/001", "Social/010"]
    monkeypatch.setattr(cat2000, "EXPECTED", Published(4))
    train = tmp_path / "CAT2000" / "trainSet"
    pixels = write_categories(train, "Stimuli", "FIXATIONLOCS", cat2000.SIZE, ids)
    write_image(train / "Stimuli" / "Action" / "Output" / "001_SaliencyMap.jpg", (10, 20))
    return pixels


@pytest.fixture
def targets(tmp_path, monkeypatch):
    """FIGRIM with two targets."""
    monkeypatch.setattr(figrim, "EXPECTED", Published(2))
    ids = ["airport_terminal/sun_aab", "badlands/sun_bbc"]
    return write_categories(tmp_path / "FIGRIM", "Targets", "FIXATIONLOCS", figrim.SIZE, ids)


def write_white(path, arrays):
    cells = np.empty((1, len(arrays)), dtype=object)
    for i, array in enumerate(arrays):
        cells[0, i] = array
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"white": cells}, do_compression=True)


@pytest.fixture
def white(tmp_path, monkeypatch):
    """Toronto with three images; 10.jpg would sort before 2.jpg."""
    folder = tmp_path / "Toronto" / "eyetrackingdata" / "fixdens"
    maps = [fixated(toronto.SIZE, seed) for seed in range(3)]
    for i in range(3):
        write_image(folder / "Original Image Set" / f"{i + 1}.jpg", toronto.SIZE)
    write_white(folder / "origfixdata.mat", [values.astype(float) for values, _ in maps])
    monkeypatch.setattr(toronto, "EXPECTED", published(3, np.concatenate([points for _, points in maps])))
    return {str(i + 1): points for i, (_, points) in enumerate(maps)}


@pytest.mark.parametrize(
    ("fixture", "name", "sigma"),
    [
        ("mit", "mit1003", 24.0),
        ("cat", "cat2000_train", 40.0),
        ("targets", "figrim", 30.0),
        ("white", "toronto", 20.43),
    ],
)
def test_samples(request, tmp_path, fixture, name, sigma):
    pixels = request.getfixturevalue(fixture)
    dataset = load(name, tmp_path)
    assert (dataset.name, dataset.whole) == (name, None)
    assert [sample.id for sample in dataset.samples] == sorted(pixels)
    assert "pixel once" in dataset.gaze
    for sample in dataset.samples:
        assert sorted(map(tuple, sample.fixations)) == sorted(map(tuple, pixels[sample.id]))
        assert (sample.sigma, sample.observers, sample.read_density) == (pytest.approx(sigma), None, None)
        assert sample.image.shape == (*sample.size, 3)


def test_real_counts_are_pinned():
    numbers = [module.EXPECTED.images for module in (mit1003, cat2000, figrim, toronto)]
    assert numbers == [1003, 2000, 630, 120]
    assert Published(120, 11_199, (345.7467, 244.1139)) == toronto.EXPECTED


@pytest.mark.parametrize(
    ("fixture", "name", "path"),
    [
        ("mit", "mit1003", "MIT1003/ALLFIXATIONMAPS/i1_fixPts.jpg"),
        ("cat", "cat2000_train", "CAT2000/trainSet/FIXATIONLOCS/Action/003.mat"),
        ("targets", "figrim", "FIGRIM/Targets/badlands/sun_bbc.jpg"),
        ("white", "toronto", "Toronto/eyetrackingdata/fixdens/Original Image Set/2.jpg"),
    ],
)
def test_a_missing_file(request, tmp_path, fixture, name, path):
    number = len(request.getfixturevalue(fixture))
    (tmp_path / path).unlink()
    with pytest.raises(DatasetProblem, match=rf"expected {number} .*add --partial.*popout"):
        load(name, tmp_path)
    with allow_partial():
        dataset = load(name, tmp_path)
    assert (dataset.name, dataset.whole) == (f"{name}_partial{number - 1}", number)


@pytest.mark.parametrize(
    ("fixture", "name", "path"),
    [
        ("mit", "mit1003", "MIT1003/ALLFIXATIONMAPS/i1_fixPts.jpg"),
        ("cat", "cat2000_train", "CAT2000/trainSet/FIXATIONLOCS/Action/003.mat"),
        ("white", "toronto", "Toronto/eyetrackingdata/fixdens/origfixdata.mat"),
    ],
)
def test_a_damaged_file(request, tmp_path, fixture, name, path):
    request.getfixturevalue(fixture)
    content = (tmp_path / path).read_bytes()
    (tmp_path / path).write_bytes(content[: len(content) // 3])
    with pytest.raises(DatasetProblem, match=rf"{path.rpartition('/')[2]}: not a readable"):
        load(name, tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((1080, 1919)), r"fixLocs: expected the \(height, width\) of its image, \(1080, 1920\), got"),
        (np.full(cat2000.SIZE, 2), "fixLocs: expected zeros and ones, got other values"),
    ],
)
def test_other_fix_locs(cat, tmp_path, values, message):
    write_fix_locs(tmp_path / "CAT2000/trainSet/FIXATIONLOCS/Action/003.mat", values)
    with pytest.raises(DatasetProblem, match=message):
        load("cat2000_train", tmp_path)


def test_all_damaged_files_are_named(cat, tmp_path):
    for id in cat:
        (tmp_path / "CAT2000/trainSet/FIXATIONLOCS" / f"{id}.mat").write_bytes(b"")
    with pytest.raises(
        DatasetProblem,
        match=r"(?s)Action/001\.mat.*Action/003\.mat.*Social/001\.mat.*\(1 more files; see: salbench data check\)",
    ):
        load("cat2000_train", tmp_path)


def test_a_blurred_map_in_place_of_fixations(mit, tmp_path):
    rows = np.exp(-((np.arange(768) - 300) ** 2) / 5000)
    blurred = (255 * rows[:, None] * np.exp(-((np.arange(1024) - 500) ** 2) / 5000)).astype(np.uint8)
    Image.fromarray(blurred).save(tmp_path / "MIT1003/ALLFIXATIONMAPS/i1_fixPts.jpg")
    with pytest.raises(DatasetProblem, match=r"i1_fixPts\.jpg: expected a fixation map"):
        load("mit1003", tmp_path)


def test_resized_photographs(mit, tmp_path):
    write_image(tmp_path / "MIT1003/ALLSTIMULI/i1.jpeg", (384, 512))
    with pytest.raises(DatasetProblem, match=r"longest side is 1024 pixels, got 1 others, such as i1\.jpeg"):
        load("mit1003", tmp_path)


def test_other_numbers_than_published(white, tmp_path, monkeypatch):
    monkeypatch.setattr(toronto, "EXPECTED", Published(3, 11_199, (345.7467, 244.1139)))
    with pytest.raises(DatasetProblem, match=r"published 11199 fixations with mean x 345\.7467 and y 244\.1139, got 2"):
        load("toronto", tmp_path)


def test_scores_of_each_category(cat, tmp_path):
    """As the page on data sets prints them."""
    dataset, out = load("cat2000_train", tmp_path), tmp_path / "out"
    runtime = Runtime(progress=False)
    assert Evaluation(dataset, PROTOCOLS["tuebingen"], out, runtime, save_maps=tmp_path / "maps").run("center_bias")
    scores = results.load(out / "cat2000_train").scores["nss"]
    by_category = scores.groupby(scores.index.get_level_values("image").str.split("/").str[0]).mean()
    assert by_category.index.tolist() == ["Action", "Social"]
    assert by_category["Action"] == pytest.approx(scores.iloc[:2].mean())
    assert (tmp_path / "maps/cat2000_train/center_bias/Social/010.png").is_file()
