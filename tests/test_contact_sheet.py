"""Contact sheets: marks, tiles and words are where they should be."""

import numpy as np
import pytest
from PIL import Image

from salbench import contact_sheet, edits
from salbench.contact_sheet import _POINT, _TEXT_HEIGHT, TILE, augmentation_sheet, sample_of_dataset, sample_of_files
from salbench.sample import Sample

GAP = 12


@pytest.fixture
def sample():
    return Sample("grey", (480, 640), lambda: np.full((480, 640, 3), 90, np.uint8), [(100.0, 60.0)], [0])


def tile(sheet, number):
    """The picture of one tile of a sheet that is four tiles wide."""
    row, column = divmod(number, 4)
    left, top = GAP + column * (TILE[0] + GAP), GAP + row * (TILE[1] + _TEXT_HEIGHT + GAP) + _TEXT_HEIGHT
    return np.asarray(sheet)[top : top + TILE[1], left : left + TILE[0]]


def place_of_mark(picture):
    """x, y in pixels of the centre of the yellow mark."""
    rows, columns = np.nonzero((picture == _POINT).all(2))
    return columns.mean() + 0.5, rows.mean() + 0.5


def test_marks_sit_where_the_fixations_are(sample, tmp_path):
    path = tmp_path / "new" / "sheet.png"
    names = ["hflip", "vflip", "rot90_180", "shear_x_0.5", "invert"]
    assert augmentation_sheet(sample, names, path) == {}
    with Image.open(path) as sheet:
        assert sheet.size == (4 * (TILE[0] + GAP) + GAP, 2 * (TILE[1] + _TEXT_HEIGHT + GAP) + GAP)
        places = [place_of_mark(tile(sheet, number)) for number in range(6)]
    expected = [(50, 30), (270, 30), (50, 210), (270, 210), (65, 30), (50, 30)]
    np.testing.assert_allclose(places, expected, atol=1)


def test_as_released_leaves_the_marks(sample, tmp_path):
    augmentation_sheet(sample, ["hflip"], tmp_path / "sheet.png", labels="as_released")
    with Image.open(tmp_path / "sheet.png") as sheet:
        np.testing.assert_allclose(place_of_mark(tile(sheet, 1)), (50, 30), atol=1)


def test_what_cannot_be_applied_is_said_and_the_rest_is_drawn(tmp_path):
    small = Sample("small", (100, 90), lambda: np.zeros((100, 90, 3), np.uint8))
    failed = augmentation_sheet(small, ["crop_128", "hflip"], tmp_path / "sheet.png")
    assert list(failed) == ["crop_128"]
    assert "at least 128 x 128" in failed["crop_128"]


def test_a_wrong_name_writes_nothing(sample, tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'hflip'"):
        augmentation_sheet(sample, ["hflop"], tmp_path / "sheet.png")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def files(tmp_path):
    Image.fromarray(np.full((60, 80, 3), 50, np.uint8)).save(tmp_path / "cat.png")
    (tmp_path / "cat.csv").write_text("observer,x,y\n1,10.5,20\n2,79,59.5\n")
    np.save(tmp_path / "cat.npy", [[10.5, 20, 1], [79, 59.5, 2]])
    return tmp_path


@pytest.mark.parametrize("suffix", ["csv", "npy"])
def test_a_sample_of_files(files, suffix):
    sample = sample_of_files(files / "cat.png", files / f"cat.{suffix}")
    assert (sample.id, sample.size) == ("cat", (60, 80))
    assert sample.fixations.tolist() == [[10.5, 20], [79, 59.5]]
    assert sample.sigma == pytest.approx(0.03 * 80)  # as in a folder: of pictures of one's own
    assert sample_of_files(files / "cat.png").fixations is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.csv", None, "no such file"),
        ("a.csv", b"a,b\n1,2\n", "expected a .csv with columns x and y or an N x 2 .npy: its first line is a,b"),
        ("a.csv", b"", "its first line is empty"),
        ("a.csv", b"x,y\n1,two\n", "expected a .csv with columns x and y"),
        ("a.csv", b"x,y\n1\n", "expected a .csv with columns x and y"),
        ("a.npy", b"", "empty, truncated or corrupt"),
        ("a.csv", b"x,y\n80,2\n", "1 of 1 off the image"),
    ],
)
def test_broken_fixations(files, name, content, message):
    if content is not None:
        (files / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        sample_of_files(files / "cat.png", files / name)


def test_a_sample_of_a_data_set():
    assert sample_of_dataset("popout").id == "color_01"
    assert sample_of_dataset("popout", "scene_02").id == "scene_02"
    with pytest.raises(ValueError, match="popout: no image has the id 'scene_2'; expected one such as 'scene_02'"):
        sample_of_dataset("popout", "scene_2")


class TestFeatureSheet:
    def test_components_are_those_of_scikit_learn(self):
        from sklearn.decomposition import PCA

        rng = np.random.default_rng(0)
        features = rng.normal(size=(5, 4, 6)) * np.array([5, 3, 2, 0.1, 0.1])[:, None, None]
        shown, share = contact_sheet._principal_components(features)
        pca = PCA(3, svd_solver="full")
        expected = pca.fit_transform(features.reshape(5, -1).T)
        assert shown.shape == (4, 6, 3)
        assert share == pytest.approx(pca.explained_variance_ratio_.sum())
        for ours, theirs in zip(shown.reshape(-1, 3).T, expected.T, strict=True):
            inside = (ours > 0) & (ours < 255)
            assert abs(np.corrcoef(ours[inside], theirs[inside])[0, 1]) > 0.999

    def test_one_channel_is_grey(self):
        ramp = np.arange(12.0).reshape(1, 3, 4)
        shown, share = contact_sheet._principal_components(ramp)
        assert share == pytest.approx(1)
        assert (shown == shown[..., :1]).all()
        assert (np.diff(shown[..., 0].ravel().astype(int)) > 0).all()

    def test_a_constant_map_is_no_error(self):
        shown, _ = contact_sheet._principal_components(np.ones((4, 3, 3)))
        assert shown.max() == 0

    def test_a_tile_for_the_picture_and_each_map(self, tmp_path, make_samples):
        (sample,) = make_samples([(30, 40)])
        maps = {name: np.random.default_rng(0).normal(size=(8, 6, 8)) for name in ("high", "low")}
        contact_sheet.feature_sheet(sample, maps, tmp_path / "sheet.png")
        with Image.open(tmp_path / "sheet.png") as picture:
            assert picture.width == 3 * (contact_sheet.TILE[0] + 12) + 12

    def test_only_png(self, tmp_path, make_samples):
        with pytest.raises(ValueError, match=r"expected a name ending in \.png"):
            contact_sheet.feature_sheet(make_samples([(30, 40)])[0], {}, tmp_path / "sheet.gif")


class TestEdits:
    @pytest.fixture
    def made(self):
        image = np.full((30, 40, 3), 90, np.uint8)
        mask = np.zeros((30, 40))
        mask[:, :10] = 1
        new = [edits.NewEdit("contrast", asked, used, 1, image) for asked, used in ((1.2, 1.2), (2.0, 1.7))]
        new.append(edits.NewEdit("brightness", 0.1, 0.1, 1, image))
        return edits.MadeEdits(image, mask, new, "a cat", "cat", attention=np.eye(8))

    def drawn(self, sample, made, predict, path, monkeypatch):
        """Names and texts of the tiles, by rows of the sheet."""
        tiles, tile = [], contact_sheet._picture_tile
        monkeypatch.setattr(
            contact_sheet,
            "_picture_tile",
            lambda image, name, text, *more, **region: (
                tiles.append((name, text)) or tile(image, name, text, *more, **region)
            ),
        )
        contact_sheet.edit_sheet(sample, made, predict, path)
        return tiles

    def test_tells_what_was_edited_and_what_came_of_it(self, made, make_samples, tmp_path, monkeypatch):
        (sample,) = make_samples([(60, 80)])
        uniform = lambda image: np.full((6, 8), 1 / 48)  # noqa: E731
        tiles = self.drawn(sample, made, uniform, tmp_path / "sheet.png", monkeypatch)
        assert [name for name, _ in tiles[:4]] == [
            f"original {sample.id}",
            "reconstruction",
            "attention of 'cat'",
            "region",
        ]
        assert tiles[3][1] == "25.0% of the image"
        assert [name for name, _ in tiles[4:7]] == ["reconstruction", "contrast 1.2", "contrast 1.7, asked 2"]
        assert tiles[7:10] == [("saliency", "25.0% inside the region")] * 3
        assert [name for name, _ in tiles[10:]] == ["reconstruction", "brightness 0.1", "saliency", "saliency"]
        with Image.open(tmp_path / "sheet.png") as picture:
            assert picture.width == 4 * (contact_sheet.TILE[0] + 12) + 12

    def test_the_region_is_outlined_where_it_is(self):
        """The left half of a picture: its border is drawn inside of it, and only where something is outside."""
        region = np.zeros((30, 40))
        region[:, :20] = 0.2
        tile = np.asarray(contact_sheet._picture_tile(np.zeros((30, 40, 3), np.uint8), "", "", region=region))
        rows, columns = (tile == contact_sheet._OUTLINE).all(2).nonzero()
        assert set(columns) == {contact_sheet.TILE[0] // 2 - 1}
        assert len(rows) == contact_sheet.TILE[1]

    def test_the_hottest_place_is_where_the_map_peaks(self, monkeypatch):
        shown = []
        monkeypatch.setattr(contact_sheet, "_picture_tile", lambda image, *_, **__: shown.append(image))
        values = np.zeros((30, 40))
        values[7, 9] = 3
        contact_sheet._heat_tile(values, np.full((30, 40, 3), 90, np.uint8), "", "")
        grey = 40 + 0.6 * 90
        assert (shown[0] == grey).all(2).sum() == 30 * 40 - 1
        assert shown[0][7, 9].astype(int).sum() > 3 * grey + 200

    def test_without_a_model_there_is_no_saliency(self, made, make_samples, tmp_path, monkeypatch):
        tiles = self.drawn(make_samples([(60, 80)])[0], made, None, tmp_path / "sheet.png", monkeypatch)
        assert "saliency" not in [name for name, _ in tiles]

    def test_only_png(self, made, make_samples, tmp_path):
        with pytest.raises(ValueError, match=r"expected a name ending in \.png"):
            contact_sheet.edit_sheet(make_samples([(30, 40)])[0], made, None, tmp_path / "sheet.gif")
