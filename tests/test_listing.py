"""Lists for the terminal: as wide as it is, with nothing lost."""

from importlib.metadata import EntryPoint

import pytest

from salbench import listing, plugins

URL = "https://example.org/a-very-long/name-of-a-file-that-stays-whole"
ROWS = [
    {"name": "a_short_name", "summary": "many words " * 12, "paper": "who wrote it, " * 9, "skipped": None},
    {"name": "b", "summary": "few words", "paper": f"see {URL}", "skipped": True},
]


@pytest.mark.parametrize("width", [160, 220, 400])
def test_no_line_is_wider_than_the_terminal(width):
    lines = listing.text(ROWS, width).splitlines()
    assert max(map(len, lines)) <= width
    assert any(line.startswith("a_short_name  ") for line in lines)


def test_words_are_never_cut():
    text = listing.text(ROWS, 60)
    assert URL in text
    assert text.split().count("words") == 13


@pytest.mark.parametrize("what", listing.ROWS)
def test_every_list_can_be_printed(what):
    rows = listing.ROWS[what]()
    text = listing.text(rows)
    assert all(next(iter(row.values())) in text for row in rows)


@pytest.mark.parametrize("what", ["datasets", "augmentations"])
def test_a_broken_package_hides_no_other_row(what, monkeypatch):
    point = EntryPoint("fog", "a_package_that_nobody_has:fog", f"salbench.{what}")
    monkeypatch.setattr(plugins, "declared", lambda group: {"fog": [point]})
    *others, broken = sorted(listing.ROWS[what](), key=lambda row: row["name"] == "fog")
    assert "BROKEN: " in broken["summary"]
    assert "a_package_that_nobody_has" in broken["summary"]
    assert others
    assert broken.keys() == others[0].keys()


def test_an_empty_list():
    assert listing.text([]) == ""
