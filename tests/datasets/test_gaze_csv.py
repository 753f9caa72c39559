"""Tables of fixations as eye trackers and other programs write them. Headers are those of real exports."""

import numpy as np
import pytest
from builders import write_image

from salbench.datasets import DatasetProblem, load, off_image

SIZE = (20, 30)


@pytest.fixture
def table(tmp_path):
    """A function of the text of fixations.csv: the samples of a folder with the images dog.jpg and cat.jpg, by id."""
    for id in ("dog", "cat"):
        write_image(tmp_path / "images" / f"{id}.jpg", SIZE)

    def read(text, encoding="utf-8"):
        (tmp_path / "fixations.csv").write_text(text, encoding=encoding)
        return {s.id: s for s in load(f"folder:{tmp_path}").samples}

    return read


def points(samples):
    return {id: sample.fixations.tolist() for id, sample in samples.items()}


EXPECTED = {"dog": [[4.5, 9.25], [6.0, 1.0]], "cat": [[29.5, 19.5]]}
EYELINK = (
    "RECORDING_SESSION_LABEL\tTRIAL_INDEX\timage\tCURRENT_FIX_INDEX\tCURRENT_FIX_X\tCURRENT_FIX_Y\tCURRENT_FIX_DURATION\n"
    "anna\t1\tdog.jpg\t1\t4.5\t9.25\t212\nanna\t1\tdog.jpg\t2\t6\t1\t180\nbert\t2\tcat.jpg\t1\t29.5\t19.5\t97\n"
)
TOBII = (  # one row per sample of the eye tracker, so that rows repeat
    "Recording timestamp\tParticipant name\tPresented Stimulus name\tEye movement type\tGaze event duration [ms]\t"
    "Eye movement type index\tFixation point X [DACS px]\tFixation point Y [DACS px]\tFixation point X [MCS norm]\n"
    "1\tanna\tdog\tFixation\t212\t1\t4,5\t9,25\t0,1\n2\tanna\tdog\tFixation\t212\t1\t4,5\t9,25\t0,1\n"
    "3\tanna\tdog\tSaccade\t20\t1\t\t\t\n4\tanna\tdog\tFixation\t180\t2\t6\t1\t0,2\n"
    "5\tanna\tdog\tEyesNotFound\t20\t1\t\t\t\n6\tbert\tcat\tFixation\t97\t1\t29,5\t19,5\t0,9\n"
)
PYMOVEMENTS = (
    "subject_id,stimulus,name,onset,offset,duration,location_x,location_y\n"
    "anna,dog.jpg,fixation,0,212,212,4.5,9.25\nanna,dog.jpg,saccade,212,230,18,,\n"
    "anna,dog.jpg,fixation,230,410,180,6,1\nbert,cat.jpg,fixation,0,97,97,29.5,19.5\n"
)
SMI = (
    "Participant,Stimulus,Category,Index,Event Duration [ms],Fixation Position X [px],Fixation Position Y [px]\n"
    "anna,dog.jpg,Fixation,1,212,4.5,9.25\nanna,dog.jpg,Blink,1,80,-,-\n"
    "anna,dog.jpg,Fixation,2,180,6,1\nbert,cat.jpg,Fixation,1,97,29.5,19.5\n"
)
GAZEPOINT = (
    "MEDIA_NAME,USER,FPOGX,FPOGY,FPOGD,FPOGID\n"
    "dog.jpg,anna,0.15,0.4625,0.212,1\ndog.jpg,anna,0.2,0.05,0.180,2\ncat.jpg,bert,0.98333333333,0.975,0.097,1\n"
)


@pytest.mark.parametrize(
    "text", [EYELINK, TOBII, PYMOVEMENTS, SMI, GAZEPOINT], ids=["EyeLink", "Tobii", "pymovements", "SMI", "Gazepoint"]
)
def test_exports(table, text):
    samples = table(text)
    for id, expected in EXPECTED.items():
        np.testing.assert_allclose(samples[id].fixations, expected, atol=1e-6)
    assert samples["dog"].observers.tolist() == [0, 0]
    assert samples["cat"].observers.tolist() == [1]
    np.testing.assert_allclose(samples["dog"].durations, [212, 180])
    if text is not PYMOVEMENTS:
        assert samples["dog"].order.tolist() == [1, 2]


@pytest.mark.parametrize(
    "header", ["image,x,y", "filename,X,Y", "Image Name,x_px,y_px", "stimulus,FixX,FixY", "picture,fix_x,fix_y"]
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_names_and_separators(table, header, separator):
    text = f"{header}\ndog,4.5,9.25\ndog,6,1\ncat.jpg,29.5,19.5\n"
    assert points(table(text.replace(",", separator))) == EXPECTED


@pytest.mark.parametrize("text", ["image;y;x\ndog;9,25;4,5\n", 'image,x,y\ndog,"4,5","9,25"\n'])
def test_decimal_commas(table, text):
    assert points(table(text)) == {"dog": [[4.5, 9.25]], "cat": []}


@pytest.mark.parametrize("name", ["images/dog.jpg", r"C:\stimuli\dog.jpg", "dog.JPG", "dog.bmp", "dog"])
def test_an_image_by_path_or_with_another_suffix(table, name):
    assert points(table(f"image,x,y\n{name},4,5\n"))["dog"] == [[4, 5]]


def test_other_columns_are_ignored_and_the_order_is_kept(table):
    samples = table("trial,x,y,image,pupil,index\n1,1,2,dog,900,3\n1,3,4,dog,901,1\n1,5,6,dog,902,2\n")
    assert samples["dog"].fixations.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert samples["dog"].order.tolist() == [3, 1, 2]
    assert samples["dog"].observers is None
    assert samples["dog"].durations is None
    assert samples["cat"].order is None


def test_without_an_index_equal_rows_are_two_fixations(table):
    assert points(table("image,x,y\ndog,4,5\ndog,4,5\n"))["dog"] == [[4, 5], [4, 5]]


def test_a_duration_that_is_not_known(table):
    durations = table("image,x,y,duration\ndog,4,5,200\ndog,4,6,.\n")["dog"].durations
    np.testing.assert_array_equal(durations, [200, np.nan])


def test_shares_of_the_screen_are_noted(table, tmp_path):
    table(GAZEPOINT)
    assert load(f"folder:{tmp_path}").notes == [
        "x and y of the table are shares of the screen and were read as shares of the image."
    ]


class TestLost:
    @pytest.mark.parametrize("cell", ["", ".", "-", "NaN", "NA", "None"])
    def test_lost_samples_are_left_out_and_counted(self, table, tmp_path, cell):
        samples = table(f"image,x,y,observer\ndog,{cell},2,eve\ndog,1,2,ann\ncat,3,{cell},ann\ndog,3,4,eve\n")
        assert points(samples) == {"dog": [[1, 2], [3, 4]], "cat": []}
        assert samples["dog"].observers.tolist() == [0, 1]
        dataset = load(f"folder:{tmp_path}")
        assert dataset.left_out == {"off_image": 0, "lost": 2}
        assert dataset.notes == ["Of 4 recorded fixations, 0 off the image and 2 lost samples were left out."]

    def test_all_lost(self, table):
        with pytest.raises(DatasetProblem, match="expected fixations, found none"):
            table("image,x,y\ndog,nan,nan\n")

    def test_in_arrays(self, tmp_path):
        write_image(tmp_path / "images" / "dog.jpg", SIZE)
        (tmp_path / "fixations").mkdir()
        np.save(tmp_path / "fixations" / "dog.npy", [[1, 2, 7], [np.nan, np.nan, np.nan], [3, 4, 8]])
        dataset = load(f"folder:{tmp_path}")
        assert dataset.samples[0].fixations.tolist() == [[1, 2], [3, 4]]
        assert dataset.samples[0].observers.tolist() == [7, 8]
        assert dataset.left_out == {"off_image": 0, "lost": 1}


class TestOffImage:
    TEXT = "image,x,y,duration\ndog,-1,2,100\ndog,1,2,200\ncat,30,3,100\ndog,nan,nan,100\n"

    def test_error_names_the_option(self, table):
        with pytest.raises(DatasetProblem, match=r"1 of 1 fixations are off the image .* --off-image drop"):
            table(self.TEXT)

    def test_left_out_and_counted(self, table, tmp_path):
        with off_image("drop"):
            samples = table(self.TEXT)
            dataset = load(f"folder:{tmp_path}")
        assert points(samples) == {"dog": [[1, 2]], "cat": []}
        assert samples["dog"].durations.tolist() == [200]
        assert dataset.left_out == {"off_image": 2, "lost": 1}
        assert dataset.notes == ["Of 4 recorded fixations, 2 off the image and 1 lost samples were left out."]
        with pytest.raises(DatasetProblem, match="off the image"):
            load(f"folder:{tmp_path}")  # the choice ends with its context

    def test_dataset_toml_chooses_and_the_context_overrules_it(self, table, tmp_path):
        (tmp_path / "dataset.toml").write_text('off_image = "drop"')
        assert points(table(self.TEXT)) == {"dog": [[1, 2]], "cat": []}
        with off_image("error"), pytest.raises(DatasetProblem, match="off the image"):
            table(self.TEXT)
        with off_image(None):
            assert points(table(self.TEXT)) == {"dog": [[1, 2]], "cat": []}

    def test_another_policy(self):
        with pytest.raises(ValueError, match="off_image: expected one of error, drop, got 'clip'"), off_image("clip"):
            pass


def test_nothing_is_said_of_a_plain_table(table, tmp_path, logged):
    table("image,x,y\ndog,4,5\n")
    dataset = load(f"folder:{tmp_path}")
    assert (dataset.notes, dataset.left_out, logged) == ([], {}, [])
