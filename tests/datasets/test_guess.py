"""Where an unknown folder seems to keep its files."""

import pytest

from salbench.datasets._guess import guessed

TABLE = "Image Name;CURRENT_FIX_X;CURRENT_FIX_Y\n"


@pytest.mark.parametrize(
    ("files", "patterns"),
    [
        (["pics/a.jpg", "pics/b.jpg", "gaze/a.png"], {"images": "pics/{id}.jpg", "fixations": "gaze/{id}.png"}),
        (["a.jpg", "b.png", "heat/a.png"], {"images": "{id}", "maps": "heat/{id}.png"}),
        (  # an id with folders
            ["stim/x/1.jpg", "stim/y/1.jpg", "sal/x/1.png", "sal/y/1.png"],
            {"images": "stim/**/{id}.jpg", "maps": "sal/**/{id}.png"},
        ),
        (["x/1.jpg", "y/1.jpg", "x/1_map.png", "y/1_map.png"], {"images": "**/{id}.jpg", "maps": "**/{id}_map.png"}),
        (  # all in one folder
            ["a.jpg", "b.jpg", "a_fix.png", "b_fix.png", "a_map.png", "b_map.png"],
            {"images": "{id}.jpg", "fixations": "{id}_fix.png", "maps": "{id}_map.png"},
        ),
        (["img_1.jpg", "img_2.jpg", "img_10.jpg", "img.jpg"], {"images": "{id}.jpg"}),  # no endings
        (  # two versions of the images: the larger folder
            ["small/a.jpg", "large/a.jpg", "large/b.jpg", "fix/a.mat"],
            {"images": "large/{id}.jpg", "fixations": "fix/{id}.mat"},
        ),
        (["pics/a.jpg", "out/report.txt", "notes.txt"], {"images": "pics/{id}.jpg", "fixations": "out/report.txt"}),
        (["pics/a.jpg", "fix/a.csv"], {"images": "pics/{id}.jpg", "fixations": "fix/{id}.csv"}),
        (["pics/a.jpg", "one/report.txt", "two/report.txt"], {"images": "pics/{id}.jpg"}),  # which?
        (["SALICON/pics/a.jpg", "suffix/a.jpg", "suffix/b.jpg", ".cache/c.jpg"], {"images": "**/{id}.jpg"}),
        (["maps/a.png"], {}),
        ([], {}),
    ],
)  # fmt: skip
def test_patterns(tmp_path, files, patterns):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(TABLE if "report" in file else "")
    assert guessed(tmp_path) == patterns
