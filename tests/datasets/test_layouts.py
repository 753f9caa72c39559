"""Layouts in which data sets are passed on, dataset.toml, and splits."""

import numpy as np
import pytest
from builders import write_gaze, write_image
from PIL import Image

from salbench.datasets import DatasetProblem, load, results_name

SIZE = (24, 32)
POINTS = {"a": [[3, 4], [20, 10]], "b": [[31, 23]]}


def write_points(path, id, **options):
    """A fixation map with the POINTS of an image."""
    array = np.zeros(SIZE, np.uint8)
    for x, y in POINTS[id]:
        array[y, x] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def write(root, images, fixations, maps, ids=("a", "b")):
    """A folder of images, fixation maps and densities; the arguments are paths in it, with {} for an id."""
    for id in ids:
        write_image(root / images.format(id), SIZE)
        write_points(root / fixations.format(id), id)
        write_image(root / maps.format(id), SIZE, value=7)


def content(dataset):
    """{id: fixations} of a data set whose densities can be read."""
    assert all(s.read_density().max() == 7 for s in dataset.samples)
    return {s.id: s.fixations.tolist() for s in dataset.samples}


class TestKnown:
    @pytest.mark.parametrize(
        ("name", "images", "fixations", "maps"),
        [
            ("UNISAL", "images/{}.jpg", "fixations/val/{}.png", "maps/val/{}.png"),
            ("SALICON", "images/val/{}.jpg", "fixations/val/{}.png", "maps/val/{}.png"),
            ("MSI-Net", "stimuli/{}.jpg", "fixations/{}.png", "saliency/{}.png"),
            ("MSI-Net, in splits", "stimuli/val/{}.jpg", "fixations/val/{}.png", "saliency/val/{}.png"),
            ("MSI-Net", "stimuli/{}.jpeg", "fixations/{}_fixPts.jpg", "saliency/{}_fixMap.jpg"),
            ("TranSalNet", "val/val_stimuli/{}.jpg", "val/val_fixation/{}.bmp", "val/val_saliency/{}.png"),
            ("MIT1003", "ALLSTIMULI/{}.jpeg", "ALLFIXATIONMAPS/{}_fixPts.jpg", "ALLFIXATIONMAPS/{}_fixMap.jpg"),
            ("ETTO", "ETTO_ALLSTIMULI/{}.jpeg", "ETTO_ALLFIXATIONLOCS/{}.jpeg", "ETTO_ALLFIXATIONMAPS/{}.jpeg"),
        ],
    )
    def test_is_recognised_and_told(self, tmp_path, logged, name, images, fixations, maps):
        write(tmp_path, images, fixations, maps)
        dataset = load(f"folder:{tmp_path}")
        assert content(dataset) == POINTS
        assert any(f"in the layout of {name}" in m or f"({name})" in m for m in logged)
        if "val" in fixations:
            assert content(load(f"folder:{tmp_path}#val")) == POINTS

    def test_ours_with_pictures(self, tmp_path, logged):
        """As the fixation maps of EToCVD after sorting: images, binary maps, densities."""
        write(tmp_path, "images/{}.png", "fixations/{}.png", "maps/{}.png")
        assert content(load(f"folder:{tmp_path}")) == POINTS
        assert logged == []

    @pytest.mark.parametrize("ids", ["ab", "a"])
    def test_an_ending_of_the_stems(self, tmp_path, logged, ids):
        write(tmp_path, "images/{}.jpg", "fixations/{}_0_fix.png", "maps/{}_0.png", ids)
        assert content(load(f"folder:{tmp_path}")) == {id: POINTS[id] for id in ids}
        assert any("images/{id}, fixations/{id}_0_fix, maps/{id}_0" in line for line in logged)

    def test_images_in_one_folder_and_a_split_of_each(self, tmp_path):
        """UNISAL keeps the images of all splits together, among them test images without fixations."""
        write(tmp_path, "images/{}.jpg", "fixations/train/{}.png", "maps/train/{}.png", ids="a")
        write(tmp_path, "images/{}.jpg", "fixations/val/{}.png", "maps/val/{}.png", ids="b")
        write_image(tmp_path / "images" / "of_test.jpg", SIZE)
        assert content(load(f"folder:{tmp_path}#train")) == {"a": POINTS["a"]}
        assert content(load(f"folder:{tmp_path}#val")) == {"b": POINTS["b"]}
        with pytest.raises(
            DatasetProblem, match=r"none for 1 of 3, such as of_test.*choose a split with #train or #val"
        ):
            load(f"folder:{tmp_path}")

    def test_a_mat_beside_the_map_that_was_made_of_it(self, tmp_path):
        """UNISAL writes a .png beside each .mat; the .mat has the observers and all fixations."""
        write(tmp_path, "images/{}.jpg", "fixations/val/{}.png", "maps/val/{}.png")
        write_gaze(tmp_path / "fixations" / "val" / "a.mat", [[[4, 5]], [[4, 5]]], SIZE)
        a, b = load(f"folder:{tmp_path}#val").samples
        assert (a.fixations.tolist(), a.observers.tolist()) == ([[3, 4]] * 2, [0, 1])
        assert b.fixations.tolist() == POINTS["b"]

    def test_the_stray_file_of_mit1003(self, tmp_path):
        write(tmp_path, "ALLSTIMULI/{}.jpeg", "ALLFIXATIONMAPS/{}_fixPts.jpg", "ALLFIXATIONMAPS/{}_fixMap.jpg")
        write_points(tmp_path / "ALLFIXATIONMAPS" / "afixPts.jpg", "b")
        assert content(load(f"folder:{tmp_path}")) == POINTS

    def test_ours_goes_first(self, tmp_path):
        """Another folder, such as of predictions, is not taken for densities."""
        write(tmp_path, "images/{}.png", "fixations/{}.png", "saliency/{}.png")
        assert [s.read_density for s in load(f"folder:{tmp_path}").samples] == [None, None]

    def test_two_images_of_one_id_in_two_splits(self, tmp_path):
        for split in ("train", "val"):
            write(tmp_path, f"stimuli/{split}/{{}}.jpg", f"fixations/{split}/{{}}.png", f"saliency/{split}/{{}}.png")
        with pytest.raises(DatasetProblem, match=r"stimuli/train/a\.jpg and stimuli/val/a\.jpg have the same id"):
            load(f"folder:{tmp_path}")

    def test_an_unknown_layout_is_described(self, tmp_path):
        write(tmp_path, "pics/day/{}.jpg", "gaze_points/{}.png", "heatmaps/{}.png")
        with pytest.raises(DatasetProblem) as problem:
            load(f"folder:{tmp_path}")
        message = str(problem.value)
        assert "expected images" in message
        assert f"which `salbench data import {tmp_path} --write` can write, for example:" in message
        example = message[message.index("images = ") :]
        (tmp_path / "dataset.toml").write_text(example)
        assert content(load(f"folder:{tmp_path}")) == POINTS

    def test_a_table_in_an_unknown_layout_is_described(self, tmp_path):
        write_image(tmp_path / "pics" / "a.jpg", SIZE)
        (tmp_path / "report.txt").write_text("image;x;y\na;1;2\n")
        with pytest.raises(DatasetProblem, match=r'images = "pics/{id}\.jpg"\n  fixations = "report\.txt"$'):
            load(f"folder:{tmp_path}")

    def test_a_folder_without_pictures(self, tmp_path):
        with pytest.raises(DatasetProblem, match="The folder holds no pictures"):
            load(f"folder:{tmp_path}")


@pytest.fixture
def described(tmp_path):
    """A function of the text of dataset.toml and a split: the data set of an unusual folder."""
    write(tmp_path, "pics/{}_orig.jpg", "eye/{}_pts.png", "eye/{}_blur.png")

    def read(text, split=""):
        (tmp_path / "dataset.toml").write_text(text)
        return load(f"folder:mine={tmp_path}{split}")

    return read


PATHS = 'images = "pics/{id}_orig.jpg"\nfixations = "eye/{id}_pts.png"\nmaps = "eye/{id}_blur.png"\n'


class TestManifest:
    def test_any_layout(self, described):
        assert content(described(PATHS)) == POINTS
        assert content(described(PATHS.replace(".jpg", "").replace(".png", ""))) == POINTS

    def test_ids_with_folders(self, tmp_path):
        for category in ("Action", "Art"):
            write(tmp_path, f"Stimuli/{category}/{{}}.jpg", f"LOCS/{category}/{{}}.png", f"MAPS/{category}/{{}}.jpg")
        (tmp_path / "dataset.toml").write_text(
            'images = "Stimuli/**/{id}"\nfixations = "LOCS/**/{id}"\nmaps = "MAPS/**/{id}"\n[splits]\nart = "Art/*"\n'
        )
        ids = ["Action/a", "Action/b", "Art/a", "Art/b"]
        assert content(load(f"folder:{tmp_path}")) == {id: POINTS[id[-1]] for id in ids}
        assert list(content(load(f"folder:{tmp_path}#art"))) == ids[2:]

    def test_a_table_names_ids_with_folders_by_what_is_unique(self, tmp_path):
        for id in ("day/a", "night/a", "night/b"):
            write_image(tmp_path / "images" / f"{id}.png", SIZE)
        (tmp_path / "dataset.toml").write_text('images = "images/**/{id}.png"')
        table = tmp_path / "fixations.csv"
        table.write_text("image,x,y\nday/a,1,2\nnight/a.png,3,4\nb.png,5,6\nb,7,8\n")
        found = {s.id: s.fixations.tolist() for s in load(f"folder:{tmp_path}").samples}
        assert found == {"day/a": [[1, 2]], "night/a": [[3, 4]], "night/b": [[5, 6], [7, 8]]}
        table.write_text("image,x,y\na.png,1,2\n")
        with pytest.raises(DatasetProblem, match=r"1 names match no image, such as 'a\.png' in line 2"):
            load(f"folder:{tmp_path}")

    def test_what_it_says_of_the_data(self, described):
        dataset = described(PATHS + 'gaze = "15 observers"\nlicence = "CC BY 4.0"\ncitation = "Me 2020"\nsigma = 3.5')
        assert (dataset.gaze, dataset.licence, dataset.citation) == ("15 observers", "CC BY 4.0", "Me 2020")
        assert {s.sigma for s in dataset.samples} == {3.5}
        assert {s.sigma for s in described(PATHS + "pixels_per_degree = 35").samples} == {35}

    @pytest.mark.parametrize(("base", "expected"), [(0, [3, 4]), (1, [2, 3])])
    @pytest.mark.parametrize("name", ["table.tsv", "{id}.npy", "{id}.mat", "{id}.csv"])
    def test_base(self, tmp_path, name, base, expected):
        import scipy.io

        write_image(tmp_path / "images" / "a.png", SIZE)
        path = tmp_path / name.format(id="a")
        if path.suffix == ".npy":
            np.save(path, [[3, 4]])
        elif path.suffix == ".mat":
            scipy.io.savemat(path, {"points": [[3, 4]]})
        else:
            path.write_text("image\tx\ty\na\t3\t4\n" if name == "table.tsv" else "x,y\n3,4\n")
        (tmp_path / "dataset.toml").write_text(f'fixations = "{name}"\nbase = {base}')
        assert load(f"folder:{tmp_path}").samples[0].fixations.tolist() == [expected]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("image = 'x/{id}.jpg'", "dataset.toml: unknown key 'image'. Did you mean 'images'?"),
            ("images = 'x/*.jpg'", r"images: expected a path with {id}, .* got 'x/\*.jpg'"),
            ("maps = 3", "maps: expected a path with {id}, .* got 3"),
            ("base = 2", "base: expected 0 or 1, got 2"),
            ("base = true", "base: expected 0 or 1, got True"),
            ("off_image = 'clip'", 'off_image: expected "error" or "drop", got \'clip\''),
            ("sigma = '3'", "sigma: expected a number above 0, got '3'"),
            ("pixels_per_degree = 0", "pixels_per_degree: expected a number above 0, got 0"),
            ("sigma = 3\npixels_per_degree = 30", "expected sigma or pixels_per_degree, got both"),
            ("gaze = ''", "gaze: expected text in double quotes, got ''"),
            ("licence = CC BY", "dataset.toml: expected TOML in UTF-8, with text in double quotes"),
            ("splits = 'val'", "splits: expected a table of splits"),
            ("[splits]\nval = [1]", "splits: expected a table of splits"),
            (
                "images = 'nowhere/{id}.jpg'",
                r"that match 'nowhere/{id}.jpg', found none. Say .* in \S+dataset.toml, for",
            ),
            (PATHS.replace("_pts", "_pt"), "expected fixations that match 'eye/{id}_pt.png', found none"),
            (PATHS.replace("_blur", "_b"), "expected maps that match 'eye/{id}_b.png', found none"),
            (PATHS.replace("eye/{id}_pts.png", "gaze.csv"), "expected a table of fixations at gaze.csv, found none"),
        ],
    )
    def test_mistakes(self, described, text, message):
        with pytest.raises(DatasetProblem, match=message):
            described(text)


class TestSplits:
    @pytest.mark.parametrize("given", ['["b"]', '["b.jpg"]', '"b*"', '"list.txt"', '"ids.csv"'])
    def test_each_way_to_name_one(self, described, tmp_path, given):
        (tmp_path / "list.txt").write_text("b\n\n")
        (tmp_path / "ids.csv").write_text("image,map,fixation\nb.jpg,b.png,b.bmp\n")  # as TranSalNet's
        dataset = described(f"{PATHS}[splits]\nval = {given}\n", "#val")
        assert content(dataset) == {"b": POINTS["b"]}
        assert dataset.name == "folder+mine_val"

    def test_the_table_and_captions_of_all_images_serve_each_split(self, tmp_path):
        for id in "ab":
            write_image(tmp_path / "images" / f"{id}.png", SIZE)
        (tmp_path / "fixations.csv").write_text("image,x,y\na,1,2\nb,3,4\n")
        (tmp_path / "captions.csv").write_text("image,caption\na,A dog\n")
        (tmp_path / "dataset.toml").write_text('[splits]\nval = ["b"]')
        (sample,) = load(f"folder:{tmp_path}#val").samples
        assert (sample.id, sample.fixations.tolist(), sample.caption) == ("b", [[3, 4]], None)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ('["c"]', "split val: expected ids of images, such as 'a', got 'c', which is none"),
            ("[]", "split val: expected ids of images, such as 'a', got none"),
            ('"c*"', r"split val: expected a file in the folder or a pattern of ids, got 'c\*'"),
        ],
    )
    def test_mistakes(self, described, given, message):
        with pytest.raises(DatasetProblem, match=message):
            described(f"{PATHS}[splits]\nval = {given}\n", "#val")

    def test_an_unknown_one(self, described):
        with pytest.raises(DatasetProblem, match=r"unknown split 'vla'. Did you mean 'val'\?"):
            described(f'{PATHS}[splits]\nval = "b"\n', "#vla")
        with pytest.raises(DatasetProblem, match=r"unknown split 'val'. Known: none; a \[splits\] in dataset.toml"):
            described(PATHS, "#val")

    def test_names_of_results(self, tmp_path):
        (tmp_path / "my#set").mkdir()
        assert results_name(f"folder:{tmp_path / 'my#set'}") == "folder+my#set"
        assert results_name(f"folder:x={tmp_path / 'my#set'}") == "folder+x"
        assert results_name(f"folder:{tmp_path / 'my#set'}#val") == "folder+my#set_val"
        assert results_name("folder:x=DIR#val") == "folder+x_val"
        assert results_name("folder:DIR#val") == "folder+DIR_val"


class TestSalicon:
    @pytest.fixture
    def excerpt(self, shared):
        return shared / "data" / "salicon2017_excerpt"

    @pytest.mark.parametrize(("split", "number"), [("val", 12), ("train", 10)])
    def test_real_maps(self, excerpt, split, number):
        dataset = load(f"folder:{excerpt}#{split}")
        assert len(dataset.samples) == number
        for sample in dataset.samples:
            x, y = sample.fixations.T.astype(int)
            white = np.asarray(Image.open(excerpt / "fixations" / split / f"{sample.id}.png"))
            assert len(x) == np.count_nonzero(white)
            assert (white[y, x] == 255).all()
            density = sample.read_density()
            assert density[y, x].mean() > 2 * density.mean()  # the densities are of these fixations
        assert dataset.notes == []

    def test_a_real_density_is_not_taken_for_fixations(self, excerpt, tmp_path):
        for role, source in (("images", "images"), ("fixations", "maps")):
            (tmp_path / role).symlink_to(excerpt / source)
        with pytest.raises(DatasetProblem, match="is this a blurred density"):
            load(f"folder:{tmp_path}#val")
