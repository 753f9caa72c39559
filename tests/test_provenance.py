import json

from salbench.provenance import provenance


def test_says_what_computed_the_numbers():
    said = provenance()
    assert {"python", "salbench", "numpy", "scipy", "pandas", "numba", "pillow"} <= set(said["versions"])
    json.dumps(said, allow_nan=False)
