import numpy as np
import pytest
import scipy.io
from builders import write_gaze, write_image

from salbench.datasets import DatasetProblem, _folder_gaze, load


@pytest.fixture
def mine(tmp_path):
    """A folder with the images a.png (20 x 30 pixels), b.jpg and c.d.png (40 x 10)."""
    folder = tmp_path / "mine"
    write_image(folder / "images" / "a.png", (20, 30))
    write_image(folder / "images" / "b.jpg", (40, 10))
    write_image(folder / "images" / "c.d.png", (40, 10))
    return folder


def open_folder(folder):
    return load(f"folder:{folder}")


def fixations_of(folder):
    return {s.id: None if s.fixations is None else s.fixations.tolist() for s in open_folder(folder).samples}


def write_csv(folder, text, name="fixations.csv"):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def save(folder, name, array):
    (folder / "fixations").mkdir(exist_ok=True)
    path = folder / "fixations" / name
    if name.endswith(".mat"):
        scipy.io.savemat(path, array if isinstance(array, dict) else {"points": array})
    else:
        np.save(path, array)


class TestImages:
    def test_images_alone_can_be_predicted_on(self, mine):
        dataset = open_folder(mine)
        assert dataset.name == "folder+mine"
        assert [s.id for s in dataset.samples] == ["a", "b", "c.d"]
        assert [s.size for s in dataset.samples] == [(20, 30), (40, 10), (40, 10)]
        assert [s.sigma for s in dataset.samples] == pytest.approx([0.9, 1.2, 1.2])
        assert not dataset.has_fixations
        assert dataset.samples[1].image.shape == (40, 10, 3)

    def test_images_beside_the_fixations(self, tmp_path):
        write_image(tmp_path / "flat" / "x.PNG", (5, 6))
        write_csv(tmp_path / "flat", "image,x,y\nx,1,2\n")
        assert fixations_of(tmp_path / "flat") == {"x": [[1.0, 2.0]]}

    def test_name_of_a_relative_folder(self, mine, monkeypatch):
        monkeypatch.chdir(mine)
        assert load("folder:.").name == "folder+mine"

    def test_hidden_and_other_files_are_no_images(self, mine):
        (mine / "images" / ".DS_Store").write_bytes(b"")
        (mine / "images" / "._a.png").write_bytes(b"")
        (mine / "images" / "Thumbs.db").write_bytes(b"")
        assert len(open_folder(mine).samples) == 3

    def test_no_folder(self, tmp_path):
        with pytest.raises(DatasetProblem, match=r"expected a folder at .*nowhere, found none"):
            open_folder(tmp_path / "nowhere")

    def test_no_argument(self):
        with pytest.raises(DatasetProblem, match=r"expected folder:DIR .*--dataset popout"):
            load("folder")

    def test_no_images(self, mine):
        for path in (mine / "images").iterdir():
            path.unlink()
        with pytest.raises(DatasetProblem, match=r"expected images \(\.jpg, .*\) here or in images/, found none"):
            open_folder(mine)

    def test_two_images_of_one_stem(self, mine):
        write_image(mine / "images" / "a.jpg", (20, 30))
        with pytest.raises(DatasetProblem, match=r"a\.jpg and a\.png share a stem; rename one"):
            open_folder(mine)

    @pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n"])
    def test_broken_image(self, mine, content):
        (mine / "images" / "a.png").write_bytes(content)
        with pytest.raises(DatasetProblem, match=r"a\.png: not a readable picture"):
            open_folder(mine)


class TestTable:
    def test_names_stems_and_images_without_fixations(self, mine):
        write_csv(mine, "image,x,y\na.png,0,0\nb,9.9,39.5\na,29.99,19\n")
        assert fixations_of(mine) == {"a": [[0, 0], [29.99, 19]], "b": [[9.9, 39.5]], "c.d": []}
        assert open_folder(mine).has_fixations

    def test_observers(self, mine):
        write_csv(mine, "image,x,y,observer\na,1,2,Eve\nc.d,3,4,Ann\na,1,2,Ann\na,1,2,Eve\n")
        observers = [s.observers for s in open_folder(mine).samples]
        assert observers[0].tolist() == [1, 0, 1]  # told apart, the same in all images
        assert observers[1] is None
        assert observers[2].tolist() == [0]

    def test_windows_ends_blank_lines_spaces_and_byte_order_mark(self, mine):
        (mine / "fixations.csv").write_bytes(b"\xef\xbb\xbfimage, x, y\r\na, 1, 2\r\n\r\nb,3,4\r\n")
        assert fixations_of(mine) == {"a": [[1, 2]], "b": [[3, 4]], "c.d": []}

    @pytest.mark.parametrize(
        ("header", "missing"), [("", "image, x, y"), ("x,y", "image"), ("image,x,z", "y"), ("a,1,2", "image, x, y")]
    )
    def test_header(self, mine, header, missing):
        write_csv(mine, f"{header}\na,1,2\n")
        with pytest.raises(DatasetProblem, match=f"the columns image, x, y.* found no {missing} in '{header}'. Rename"):
            open_folder(mine)

    def test_missing_cell(self, mine):
        write_csv(mine, "image,x,y\na,1,2\na,1\n")
        with pytest.raises(DatasetProblem, match=r"fixations\.csv: line 3: expected 3 cells, got 2"):
            open_folder(mine)

    @pytest.mark.parametrize("cell", ["left", "1;5", "inf", "-inf", '"1,234.5"'])
    def test_cell_that_is_no_number(self, mine, cell):
        write_csv(mine, f"image,x,y\na,1,2\nb,{cell},1\n")
        with pytest.raises(DatasetProblem, match=f"line 3: expected a number as x, got '{cell.strip(chr(34))}'"):
            open_folder(mine)

    @pytest.mark.parametrize("cell", ["30", "-0.1", "1e300"])
    def test_off_the_image(self, mine, cell):
        write_csv(mine, f"image,x,y\nb,1,2\na,1,2\na,{cell},3\n")
        with pytest.raises(
            DatasetProblem,
            match=r"image a: 1 of 2 .* 30 x 20 pixels; the first, line 4, is .*y=3.*from 1.*--off-image drop",
        ):
            open_folder(mine)

    def test_unknown_image(self, mine):
        write_csv(mine, "image,x,y\na,1,2\nA,1,2\nz.png,1,2\nA,1,2\n")
        with pytest.raises(DatasetProblem, match=r"fixations\.csv: 2 names .* 'A' in line 3; expected .* such as 'a'"):
            open_folder(mine)

    def test_observers_of_an_array_are_whole_numbers(self, mine):
        save(mine, "a.npy", np.array([[1, 2, 1.5]]))
        with pytest.raises(DatasetProblem, match=r"expected whole numbers as observers, got 1\.5"):
            open_folder(mine)

    def test_no_rows(self, mine):
        write_csv(mine, "image,x,y\n")
        with pytest.raises(DatasetProblem, match="expected fixations, found none; remove the empty file"):
            open_folder(mine)

    @pytest.mark.parametrize("content", [b"image,x,y\n\xff\xfe,1,2\n", b'image,x,y\n"a,1,2\n', b"\xff\xfei\x00"])
    def test_not_a_csv(self, mine, content):
        (mine / "fixations.csv").write_bytes(content)
        with pytest.raises(DatasetProblem, match=r"fixations\.csv: not a readable CSV in UTF-8"):
            open_folder(mine)

    def test_table_and_folder(self, mine):
        write_csv(mine, "image,x,y\na,1,2\n")
        (mine / "fixations").mkdir()
        with pytest.raises(DatasetProblem, match=r"fixations\.csv or fixations/, found both; remove one"):
            open_folder(mine)


class TestFiles:
    def test_each_type(self, mine):
        save(mine, "a.npy", np.array([[0.0, 0.0], [29.9, 19.9]]))
        save(mine, "b.mat", np.array([[1, 1], [10, 40]]))
        write_csv(mine, "x,y\n3,4\n", "fixations/c.d.csv")
        assert fixations_of(mine) == {"a": [[0, 0], [29.9, 19.9]], "b": [[0, 0], [9, 39]], "c.d": [[3, 4]]}

    def test_observers(self, mine):
        save(mine, "a.npy", np.array([[1, 2, 5], [1, 2, 6]]))
        save(mine, "b.mat", np.array([[1, 2, 5], [1, 2, 1]]))
        write_csv(mine, "x,y,observer\n3,4,9\n", "fixations/c.d.csv")
        assert [s.observers.tolist() for s in open_folder(mine).samples] == [[5, 6], [5, 1], [0]]

    @pytest.mark.parametrize("name", ["a.npy", "a.mat"])
    @pytest.mark.parametrize("dtype", [bool, np.uint8, float])
    def test_map_of_counts(self, mine, name, dtype):
        counts = np.zeros((20, 30), dtype=dtype)
        counts[0, 29] = counts[19, 0] = 1
        counts[7, 3] = 2
        save(mine, name, counts)
        twice = [[3, 7]] * (1 if dtype is bool else 2)
        assert fixations_of(mine) == {"a": [[29, 0], *twice, [0, 19]], "b": [], "c.d": []}
        assert open_folder(mine).samples[0].observers is None

    def test_gaze_structure(self, mine):
        (mine / "fixations").mkdir()
        write_gaze(mine / "fixations" / "a.mat", [[[1, 1]], np.empty((0, 0)), [[30, 20], [2, 3]]])
        sample = open_folder(mine).samples[0]
        np.testing.assert_array_equal(sample.fixations, [[0, 0], [29, 19], [1, 2]])
        np.testing.assert_array_equal(sample.observers, [0, 2, 2])

    def test_unsigned_mat_does_not_wrap(self, mine):
        save(mine, "a.mat", np.array([[0, 5]], dtype=np.uint8))
        with pytest.raises(DatasetProblem, match=r"a\.mat: 1 of 1 .* the first, number 1, is at x=-1, y=4"):
            open_folder(mine)

    def test_text_beside_the_numbers_is_ignored(self, mine):
        save(mine, "a.mat", {"name": "a photograph", "points": np.array([[5, 6]])})
        assert fixations_of(mine)["a"] == [[4, 5]]

    def test_empty_array_is_no_fixations(self, mine):
        save(mine, "a.mat", np.empty((0, 0)))
        save(mine, "b.npy", np.array([[1, 1]]))
        assert fixations_of(mine) == {"a": [], "b": [[1, 1]], "c.d": []}

    def test_two_numeric_variables(self, mine):
        save(mine, "a.mat", {"x": np.ones(3), "y": np.ones(3)})
        with pytest.raises(DatasetProblem, match=r"one numeric variable, found 2 .* x, y; save"):
            open_folder(mine)

    def test_no_variable(self, mine):
        save(mine, "a.mat", {})
        with pytest.raises(DatasetProblem, match="one numeric variable, found 0 "):
            open_folder(mine)

    def test_blurred_map(self, mine):
        save(mine, "a.npy", np.full((20, 30), 0.5))
        with pytest.raises(DatasetProblem, match=r"a\.npy: .*is this a blurred fixation map"):
            open_folder(mine)

    def test_map_with_nan(self, mine):
        save(mine, "a.npy", np.full((20, 30), np.nan))
        with pytest.raises(DatasetProblem, match=r"a\.npy: expected finite values"):
            open_folder(mine)

    @pytest.mark.parametrize("shape", [(30, 20), (2, 7), (5,), (3, 2, 2), (4, 4)])
    def test_shape(self, mine, shape):
        save(mine, "a.npy", np.ones(shape))
        with pytest.raises(DatasetProblem, match=r"N x 3 .* or a map of counts of 20 x 30 .* got shape"):
            open_folder(mine)

    @pytest.mark.parametrize("array", [np.array(["1", "2"]), np.ones((3, 2), dtype=complex)])
    def test_no_numbers(self, mine, array):
        save(mine, "a.npy", array)
        with pytest.raises(DatasetProblem, match=r"a\.npy: expected an array of real numbers, got"):
            open_folder(mine)

    def test_pickle_is_refused(self, mine):
        save(mine, "a.npy", np.array([{}], dtype=object))
        with pytest.raises(DatasetProblem, match=r"a\.npy: not a readable NPY array"):
            open_folder(mine)

    @pytest.mark.parametrize("name", ["a.npy", "a.mat", "a.csv"])
    def test_empty_file(self, mine, name):
        write_csv(mine, "", f"fixations/{name}")
        with pytest.raises(DatasetProblem, match=name):
            open_folder(mine)

    def test_damaged_npy_header(self, mine):
        """An open bracket makes NumPy raise a TokenError, which is not a ValueError."""
        save(mine, "a.npy", np.ones((20, 2)))
        path = mine / "fixations" / "a.npy"
        path.write_bytes(path.read_bytes().replace(b"}", b"(", 1))
        with pytest.raises(DatasetProblem, match=r"a\.npy: not a readable NPY array"):
            open_folder(mine)

    def test_truncated_npy(self, mine):
        save(mine, "a.npy", np.ones((20, 2)))
        path = mine / "fixations" / "a.npy"
        for length in (3, 20, 128, 200):
            path.write_bytes(path.read_bytes()[:length] if length != 200 else path.read_bytes()[:-9])
            with pytest.raises(DatasetProblem, match=r"a\.npy: not a readable NPY array"):
                open_folder(mine)
            save(mine, "a.npy", np.ones((20, 2)))

    def test_header_of_one_csv(self, mine):
        write_csv(mine, "image,x,y\na,1,2\n", "fixations/a.csv")
        with pytest.raises(DatasetProblem, match=r"a\.csv: expected the fixations of one image, got a column 'image'"):
            open_folder(mine)

    def test_off_the_image_in_one_csv(self, mine):
        write_csv(mine, "x,y\n\n1,2\n1,20\n", "fixations/a.csv")
        with pytest.raises(DatasetProblem, match=r"a\.csv: 1 of 2 .* the first, line 4, is at x=1, y=20"):
            open_folder(mine)

    def test_file_of_no_image(self, mine):
        save(mine, "z.npy", np.ones((1, 2)))
        with pytest.raises(DatasetProblem, match=r"1 files have no image .* z\.npy; rename or remove"):
            open_folder(mine)

    def test_two_files_of_one_image(self, mine):
        save(mine, "a.npy", np.ones((1, 2)))
        save(mine, "a.mat", np.ones((1, 2)))
        with pytest.raises(DatasetProblem, match=r"a\.mat and a\.npy share a stem"):
            open_folder(mine)

    def test_file_of_another_type(self, mine):
        write_csv(mine, "1 2", "fixations/a.txt")
        with pytest.raises(
            DatasetProblem, match=r"a\.txt: expected one of \.csv, \.npy, \.mat, \.png, .* in this folder"
        ):
            open_folder(mine)

    def test_empty_folder(self, mine):
        (mine / "fixations").mkdir()
        with pytest.raises(DatasetProblem, match="expected fixations, found none; remove the empty file or folder"):
            open_folder(mine)

    def test_file_in_place_of_the_folder(self, mine):
        (mine / "fixations").write_text("")
        with pytest.raises(DatasetProblem, match=r"expected a folder of \.csv, \.npy, \.mat, .* files, found a file"):
            open_folder(mine)


class TestMaps:
    @pytest.fixture
    def mapped(self, mine):
        write_image(mine / "maps" / "a.png", (20, 30), value=8)
        write_image(mine / "maps" / "b.png", (40, 10), value=9)
        np.save(mine / "maps" / "c.d.npy", np.full((40, 10), 0.25))
        return mine

    def test_maps_are_read_as_they_are(self, mapped):
        densities = [s.read_density() for s in open_folder(mapped).samples]
        assert [d.shape for d in densities] == [(20, 30), (40, 10), (40, 10)]
        assert [float(d.max()) for d in densities] == [8, 9, 0.25]

    def test_no_maps(self, mine):
        assert all(s.read_density is None for s in open_folder(mine).samples)

    def test_some_maps(self, mapped):
        (mapped / "maps" / "b.png").unlink()
        with pytest.raises(DatasetProblem, match="expected one map per image, found none for 1 of 3, such as b"):
            open_folder(mapped)

    def test_map_of_another_size(self, mapped):
        write_image(mapped / "maps" / "a.png", (30, 20))
        with pytest.raises(DatasetProblem, match=r"a\.png: expected .* \(20, 30\), got \(30, 20\)"):
            open_folder(mapped).samples[0].read_density()

    def test_two_maps_of_one_image(self, mapped):
        np.save(mapped / "maps" / "a.npy", np.ones((20, 30)))
        with pytest.raises(DatasetProblem, match=r"a\.npy and a\.png share a stem"):
            open_folder(mapped)


class TestCaptions:
    def captions(self, folder):
        return {s.id: s.caption for s in open_folder(folder).samples}

    def test_of_names_and_stems(self, mine):
        write_csv(mine, 'image,caption\nb.jpg,"a dog, and a cat"\n\nc.d, a bus \n', "captions.csv")
        assert self.captions(mine) == {"a": None, "b": "a dog, and a cat", "c.d": "a bus"}

    def test_none(self, mine):
        assert set(self.captions(mine).values()) == {None}

    def test_an_empty_one_is_none(self, mine):
        write_csv(mine, "image,caption\na,\n", "captions.csv")
        assert self.captions(mine)["a"] is None

    def test_a_comma_without_quotes(self, mine):
        write_csv(mine, "image,caption\na,a dog, a cat\n", "captions.csv")
        with pytest.raises(DatasetProblem, match=r"captions\.csv: line 2: expected 2 cells, got 3; .* double quotes"):
            open_folder(mine)

    def test_two_of_one_image(self, mine):
        write_csv(mine, "image,caption\na,a dog\na.png,a cat\n", "captions.csv")
        with pytest.raises(DatasetProblem, match=r"line 3: expected one caption .*'a'"):
            open_folder(mine)

    def test_unknown_image(self, mine):
        write_csv(mine, "image,caption\nz,a dog\n", "captions.csv")
        with pytest.raises(DatasetProblem, match=r"captions\.csv: 1 names .* 'z' in line 2"):
            open_folder(mine)

    def test_header(self, mine):
        write_csv(mine, "a dog\n", "captions.csv")
        with pytest.raises(DatasetProblem, match="expected the header image,caption, got 'a dog'"):
            open_folder(mine)


def test_rows_of_many_images():
    ids = [f"image_{number % 50_000}" for number in range(200_000)]
    rows = dict(_folder_gaze._rows_by_id(ids))
    assert list(rows) == sorted(set(ids))
    assert rows["image_7"].tolist() == [7, 50_007, 100_007, 150_007]


@pytest.mark.parametrize("pattern", ["/{id}", "**{id}"])
def test_a_pattern_that_is_no_path_in_the_folder(pattern, tmp_path):
    (tmp_path / "dataset.toml").write_text(f"images = {pattern!r}")
    with pytest.raises(DatasetProblem, match=r"dataset\.toml: expected a path in this folder"):
        load(f"folder:{tmp_path}")


def test_a_file_of_ids_that_is_no_text(mine):
    (mine / "dataset.toml").write_text('[splits]\ntest = "test.txt"')
    (mine / "test.txt").write_bytes(b"\xff\xfea\x00")
    with pytest.raises(DatasetProblem, match=r"test\.txt: expected a text in UTF-8, an id per line"):
        load(f"folder:{mine}#test")
