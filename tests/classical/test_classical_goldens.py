"""The pictures are those that the authors' code was run on."""

import hashlib

import pytest
from classical_goldens import bank, noise, picture, popout

HASHES = {
    "popout": "e7557a67998285c3", "popout160": "ec0893e42dff7f58", "noise": "bf05283eeb9a3d0d",
    "osie1001": "3c2f45767fb59462", "osie1105": "eb5887819526d379",
}  # fmt: skip


def digest(image):
    return hashlib.sha256(image.tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("name", HASHES)
def test_pictures(name):
    assert digest(picture(name)) == HASHES[name]


def test_large_pictures():
    assert digest(popout(480, 640)) == "517f93de04b03059"
    assert digest(noise(480, 640)) == "7816cfb6ad82636c"


def test_filters_are_orthonormal():
    filters = bank(8, 189)
    assert filters @ filters.T == pytest.approx(1.0 * (filters @ filters.T > 0.5), abs=1e-12)
    assert filters.shape == (189, 192)
