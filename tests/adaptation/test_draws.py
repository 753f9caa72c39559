"""No image is scored with numbers that were fitted to it."""

import pytest

from salbench.adaptation import draws

IDS = [f"i{number}" for number in range(23)]
TRAIN = [f"t{number}" for number in range(40)]


def test_without_a_training_split_the_other_images_are_scored():
    found = draws.make(IDS, None, ["5", "10"], 3, seed=0)
    assert [(d.images, d.number) for d in found] == [("5", 0), ("5", 1), ("5", 2), ("10", 0), ("10", 1), ("10", 2)]
    for draw in found:
        assert len(set(draw.fitted)) == int(draw.images)
        assert set(draw.scored) == set(IDS) - set(draw.fitted)
    assert len({draw.fitted for draw in found}) == 6
    assert set(found[0].fitted) < set(found[3].fitted)


def test_all_without_a_training_split_are_folds_that_score_each_image_once():
    found = draws.make(IDS, None, ["all"], 3, seed=0)
    assert len(found) == draws.FOLDS
    assert sorted(id for draw in found for id in draw.scored) == sorted(IDS)
    for draw in found:
        assert set(draw.fitted) == set(IDS) - set(draw.scored)


def test_with_a_training_split_everything_is_scored():
    found = draws.make(IDS, TRAIN, ["5", "all"], 2, seed=0)
    assert [len(draw.fitted) for draw in found] == [5, 5, 40]
    for draw in found:
        assert list(draw.scored) == IDS
        assert set(draw.fitted) <= set(TRAIN)


def test_the_seed_decides():
    assert draws.make(IDS, None, ["5"], 2, seed=0) == draws.make(IDS, None, ["5"], 2, seed=0)
    assert draws.make(IDS, None, ["5"], 2, seed=0) != draws.make(IDS, None, ["5"], 2, seed=1)


@pytest.mark.parametrize(("train", "n", "most"), [(None, "23", 22), (TRAIN, "41", 40)])
def test_more_images_than_there_are(train, n, most):
    draws.make(IDS, train, [str(most)], 1, seed=0)
    with pytest.raises(ValueError, match=f"--images: expected at most {most} images to fit to, got {n}"):
        draws.make(IDS, train, [n], 1, seed=0)


def test_all_has_a_limit(monkeypatch):
    monkeypatch.setattr(draws, "MOST_IMAGES", 4)
    assert {len(draw.fitted) for draw in draws.make(IDS, None, ["all"], 1, seed=0)} == {4}
    assert len(draws.make(IDS, TRAIN, ["all"], 1, seed=0)[0].fitted) == 4
