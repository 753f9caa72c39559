"""results/why_edits: its page says what its files say."""

from pathlib import Path

from salbench.ablation import comparisons

RESULTS = Path(__file__).resolve().parents[2] / "results"


def test_the_page_prints_the_comparisons_of_the_committed_scores():
    planned = comparisons.read(RESULTS / "why_edits" / "comparisons.toml")
    page = (RESULTS / "why_edits.md").read_text(encoding="utf-8")
    assert comparisons.table(planned, comparisons.answer(RESULTS, planned)) in page
