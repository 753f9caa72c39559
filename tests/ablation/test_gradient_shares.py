"""Shares of gradients, from logs written by hand."""

import pytest

from salbench.ablation import gradient_shares
from salbench.ablation.splits import Ablation

LOG = """epoch,loss,gradient_originals,gradient_kl,gradient_cc
1,0.5,2.0,{kl},1.0
2,0.4,,,
6,0.3,1.0,{kl},0.1
"""


@pytest.fixture
def checkpoints(tmp_path):
    for seed, kl in ((0, 0.5), (1, 1.5)):
        folder = tmp_path / "osie_ablation" / "lite" / "edits-e-p0.5-kl1-cc1" / f"seed{seed}"
        folder.mkdir(parents=True)
        (folder / "log.csv").write_text(LOG.format(kl=kl))
    plain = tmp_path / "osie_ablation" / "lite" / "none" / "seed0"
    plain.mkdir(parents=True)
    (plain / "log.csv").write_text("epoch,loss\n1,0.5\n")
    return tmp_path


def test_the_median_over_epochs_and_seeds(checkpoints):
    found = gradient_shares.shares(checkpoints, Ablation("osie")).set_index("loss")
    assert list(found.index) == ["kl", "cc"]
    assert found.share["kl"] == pytest.approx((0.5 + 0.75) / 2)  # of 0.25, 0.5, 0.75 and 1.5
    assert found.share["cc"] == pytest.approx(0.3)  # of 0.5, 0.1, twice
    assert list(found.seeds) == [2, 2]


def test_the_table(checkpoints):
    text = gradient_shares.table(checkpoints, Ablation("osie"))
    assert "edits-e-p0.5-kl1-cc1 | kl     | 0.625" in text
    assert "median over epochs and 2 seeds" in text


def test_trainings_without_edits_have_none(checkpoints):
    assert gradient_shares.table(checkpoints, Ablation("salicon")) == ""
