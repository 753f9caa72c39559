import json

import pytest

from salbench.identity import Identity

FACTS = {"protocol": "mit", "seed": 0, "code": "c0de", "recipe": {"size": (3, 4), "epochs": 2}, "backbone": None}
MINE = Identity(FACTS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"protocol": "lsun17", "seed": 3}, ["protocol mit instead of lsun17", "seed 0 instead of 3"]),
        ({"code": "other"}, ["the code has changed"]),
        ({"recipe": {"size": (3, 4), "epochs": 5}}, ["recipe.epochs 2 instead of 5"]),
        ({"recipe": {"size": (9, 4), "epochs": 2}}, ["recipe.size [3, 4] instead of [9, 4]"]),
        ({"backbone": "B"}, ["backbone nothing instead of B"]),
        ({"more": 1}, ["more nothing instead of 1"]),
    ],
)
def test_differences(changes, said):
    assert MINE.differences(Identity(FACTS | changes)) == said


def test_read_from_a_file_it_equals_what_was_written():
    assert Identity(json.loads(json.dumps(MINE.facts))) == MINE


def test_another_identity_is_an_error_that_says_what_to_do():
    with pytest.raises(KeyboardError, match=r"^place: made with other settings \(seed 0 instead of 1\)\. Do that\.$"):
        MINE.require_same(Identity(FACTS | {"seed": 1}), "place", "Do that.", KeyboardError)
    MINE.require_same(Identity(FACTS), "place", "Do that.", KeyboardError)


class KeyboardError(ValueError):
    pass
