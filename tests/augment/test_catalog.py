import numpy as np
import pytest

from salbench import augment
from salbench.augment import CHE18_FOLDERS, PRESETS, AugmentationProblem, add_folder, get, names, select

PAPER12 = {
    "rotate_90": ("geometric", {"clockwise_deg": 90}),
    "rotate_270": ("geometric", {"clockwise_deg": 270}),
    "vflip": ("geometric", {"axis": "y"}),
    "hflip": ("geometric", {"axis": "x"}),
    "crop_128": ("geometric", {"side_px": 128}),
    "crop_256": ("geometric", {"side_px": 256}),
    "jpeg_q5": ("photometric", {"quality": 5}),
    "motion_blur_15_0": ("photometric", {"length_px": 15, "angle_deg": 0}),
    "invert": ("photometric", {}),
    "noise_var_0.1": ("photometric", {"variance": 0.1}),
    "contrast_stretch_0.3_0.7": ("photometric", {"input_range": (0.3, 0.7), "output_range": (0.0, 1.0)}),
    "shear_x_0.5": ("geometric", {"x_per_y": 0.5}),
}
EXTRAS = {
    "rotate_-45": {"clockwise_deg": 45},
    "rotate_-135": {"clockwise_deg": 135},
    "motion_blur_35_90": {"length_px": 35, "angle_deg": 90},
    "noise_var_0.2": {"variance": 0.2},
    "contrast_squeeze_0.4_0.6": {"input_range": (0.0, 1.0), "output_range": (0.4, 0.6)},
    "jpeg_q0": {"quality": 0},
    "shear_y_0.5": {"y_per_x": 0.5},
    "shear_xy_0.5": {"x_per_y": 0.5, "y_per_x": 0.5},
    "canny": {"threshold": 0.3, "sigma_px": 2**0.5},
    "crop_left_200": {"edge": "left", "band_px": 200},
    "crop_top_200": {"edge": "top", "band_px": 200},
}
DARKER = '''
import numpy as np
from salbench.augment import photometric

@photometric
def {name}(image, rng, *, grey_levels=40):
    """Darker by 40 grey levels.

    More about it.
    """
    return np.clip(image.astype(int) - grey_levels, 0, 255).astype(np.uint8)
'''


def test_paper12_is_the_table():
    assert PRESETS["paper12"] == tuple(PAPER12)
    assert {name: (get(name).kind, get(name).parameters) for name in PAPER12} == PAPER12


def test_extras_have_the_parameters_of_the_table():
    assert {name: get(name).parameters for name in EXTRAS} == EXTRAS
    assert {"rot90_cw", "rot90_180", "rot90_ccw"} <= set(names())


def test_che18_has_the_published_folders():
    assert set(CHE18_FOLDERS) == {
        *(f"{stem}_{n}" for stem in ("MotionBlur", "Noise", "Compression", "ContrastChange") for n in (1, 2)),
        *("Rotation_1", "Rotation_2", "Shearing_1", "Shearing_2", "Shearing_3"),
        *("Inversion", "Mirroring", "Boundary", "Cropping_1", "Cropping_2"),
    }
    assert len(set(PRESETS["che18"])) == 18
    assert set(PRESETS["che18"]) <= set(names())
    for name in ("Rotation_1", "Rotation_2", "Shearing_1", "Shearing_2", "Shearing_3"):
        parameters = get(CHE18_FOLDERS[name][0]).parameters
        assert (parameters["canvas"], parameters["fill_grey"]) == ("squashed", 128)


def test_every_row_says_what_it_is_and_whose():
    for name in names():
        row = get(name)
        assert row.name == name
        assert row.summary
        assert row.source
        assert row.crops == name.startswith("crop_")


def test_a_wrong_name_gets_a_suggestion():
    with pytest.raises(AugmentationProblem, match=r"unknown augmentation 'hflipp'\. Did you mean 'hflip'\? Known: "):
        get("hflipp")
    with pytest.raises(AugmentationProblem, match=r"'paper13'\. Did you mean 'paper12'\?"):
        select("hflip,paper13")


def test_select_expands_presets_once():
    assert select("canny, paper12,hflip") == ["canny", *PAPER12]
    with pytest.raises(AugmentationProblem, match="list of augmentations or presets, got"):
        select(" , ")


def test_an_augmentation_in_one_file(tmp_path, sample):
    (tmp_path / "mine.py").write_text(DARKER.format(name="darker"))
    (tmp_path / "_helper.py").write_text("raise RuntimeError")
    add_folder(tmp_path)
    add_folder(tmp_path)
    row = get("darker")
    assert (row.kind, row.parameters, row.summary) == ("photometric", {"grey_levels": 40}, "Darker by 40 grey levels.")
    assert "mine.py" in row.source
    expected = np.clip(sample.image.astype(int) - 40, 0, 255)
    np.testing.assert_array_equal(augment.augment(sample, "darker").sample.image, expected)


def test_the_example_of_the_package_moves_labels(tmp_path, sample):
    example = augment.__doc__.split("A geometric one", 1)[1].split(":\n", 1)[1]
    (tmp_path / "mine.py").write_text("\n".join(line.removeprefix("    ") for line in example.splitlines()))
    add_folder(tmp_path)
    new = augment.augment(sample, "zoom")
    height, width = sample.size
    inside = (np.abs(sample.fixations / (width, height) - 0.5) < 0.25).all(1)
    assert new.dropped == (~inside).sum()
    np.testing.assert_allclose(new.sample.fixations, 2 * sample.fixations[inside] - (width / 2, height / 2))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.py": DARKER.format(name="hflip")}, r"a\.py: the name 'hflip' is in use"),
        ({"a.py": DARKER.format(name="paper12")}, r"a\.py: the name 'paper12' is in use"),
        ({"a.py": DARKER.format(name="dim"), "b.py": DARKER.format(name="dim")}, r"b\.py: the name 'dim' is in use"),
        ({"a.py": "import no_such_package"}, r"a\.py: cannot be imported: ModuleNotFoundError"),
        ({"a.py": "from salbench.augment import get\nx = get('hflip')"}, r"a\.py: expected a function with @photo"),
        ({"a.py": DARKER.format(name="dim").replace("=40", "")}, "dim: expected a default for grey_levels"),
        ({"readme.txt": "hello"}, "expected Python files with augmentations, found none"),
    ],
)
def test_a_folder_that_cannot_be_added_adds_nothing(tmp_path, files, message):
    before = names()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(AugmentationProblem, match=message):
        add_folder(tmp_path)
    assert names() == before


def test_a_missing_folder():
    with pytest.raises(AugmentationProblem, match="nowhere: expected a folder"):
        add_folder("/nowhere")


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"x: .* photometric or geometric, got 'acoustic'"):
        augment.Augmentation("x", "acoustic", len)
