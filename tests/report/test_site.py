"""The files of a site: names, escapes, what is kept and removed, and what data allow."""

import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from salbench import report
from salbench.datasets import load
from salbench.files import hash_file
from salbench.report import images
from salbench.report.names import Names, harmless
from salbench.report.pictures import Pictures
from salbench.report.site import to_json

from .conftest import EVIL, QUIET

SIZE = 240, 320  # of the embedded images


def hashes(folder):
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("osie_test", "osie_test"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("<b>ä", "_b_"),
        ("", "_"),
        (".hidden", "hidden"),
        ("x" * 300, "x" * 60),
    ],
)
def test_names_are_harmless(text, name):
    assert harmless(text) == name


def test_names_differ_where_case_is_ignored():
    names = Names()
    assert [names.new(text) for text in ("a", "A", "a", "a-2", "b")] == ["a", "A-2", "a-3", "a-2-2", "b"]


def test_json_cannot_end_its_script():
    text = to_json({"</script><!--": "\u2028&"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"</script><!--": "\u2028&"}


def test_names_from_files_are_escaped(site):
    for page in site.glob("*.html"):
        text = page.read_text()
        assert "<img src=x" not in text, page
    assert "onerror" in (site / "scores-popout_first6-tuebingen.html").read_text()  # as text
    assert EVIL in to_json(EVIL).replace("\\u003c", "<").replace("\\u003e", ">")


def test_nothing_is_loaded_from_elsewhere(site):
    for path in [*site.glob("*.html"), *site.glob("assets/*")]:
        found = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//[^"')\s]+""", path.read_text())
        assert not found, path


def test_own_script_and_style_are_small(site):
    assert sum(path.stat().st_size for path in (site / "assets").iterdir()) < 200_000


def test_the_same_bytes_again(runs, site, tmp_path):
    report.build(tmp_path / "again", report.Content(runs.results, maps=runs.maps), QUIET)
    assert hashes(tmp_path / "again") == hashes(site)


def test_pictures_are_kept_and_old_ones_removed(tmp_path):
    def never():
        raise AssertionError("made again")

    image = np.zeros((30, 40, 3), np.uint8)
    options = {"longest": 20, "quality": 50}
    first = Pictures(tmp_path)
    kept, old = (first.add("set", name, [name], lambda: image, **options) for name in ("a/../b", "old"))
    second = Pictures(tmp_path)
    assert second.add("set", "a/../b", ["a/../b"], never, **options) == kept
    second.remove_others()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.webp")] == [kept]
    assert not second.keep([old])
    with Image.open(tmp_path / kept) as picture:
        assert picture.size == (20, 15)


def test_a_second_build_makes_only_what_changed(runs, site, monkeypatch, tmp_path):
    out = tmp_path / "site"
    content = report.Content(runs.results, maps=runs.maps)
    report.build(out, content, QUIET)
    (changed,) = (runs.maps / runs.dataset / "uniform").glob("color_01.png")
    original = changed.read_bytes()
    added = []
    add = Pictures.add

    def counted(self, folder, name, *others, **options):
        added.append(name)
        return add(self, folder, name, *others, **options)

    monkeypatch.setattr(Pictures, "add", counted)
    try:
        Image.fromarray(np.random.default_rng(0).integers(0, 256, SIZE, np.uint8)).save(changed)
        report.build(out, content, QUIET)
    finally:
        changed.write_bytes(original)
    assert {name.partition("-")[0] for name in added} == {"color_01"}
    assert len(hashes(out)) == len(hashes(site))


def test_without_permission_there_are_no_pictures(runs, tmp_path, monkeypatch):
    opened = images._opened
    monkeypatch.setattr(images, "_opened", lambda *a: replace(opened(*a), redistribute=False))
    content = report.Content(runs.results, maps=runs.maps)
    (line,) = report.build(tmp_path / "site", content, QUIET)
    assert "does not allow to pass them on" in line
    assert not list((tmp_path / "site").rglob("*.webp"))
    page = (tmp_path / "site" / "images-popout_first6-tuebingen.html").read_text()
    assert "does not allow to pass them on" in page
    assert (tmp_path / "site" / "scores-popout_first6-tuebingen.html").is_file()
    private = report.Content(runs.results, maps=runs.maps, pictures="all")
    assert report.build(tmp_path / "site", private, QUIET) == []
    assert list((tmp_path / "site").rglob("*.webp"))
    report.build(tmp_path / "site", content, QUIET)  # what may no longer be shown goes
    assert not list((tmp_path / "site").rglob("*.webp"))


def test_only_data_with_an_open_licence_may_be_passed_on(tmp_path):
    assert load("popout").redistribute
    folder = tmp_path / "mine"
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (64, 48)).save(folder / "images" / "a.png")
    (folder / "fixations.csv").write_text("image,x,y\na,3,4\n")
    assert not load(f"folder:{folder}").redistribute
    (folder / "dataset.toml").write_text("redistribute = true\n")
    assert load(f"folder:{folder}").redistribute


@pytest.mark.parametrize("written", range(3))
def test_a_report_that_was_stopped_at_its_first_files_goes_on(runs, tmp_path, monkeypatch, written):
    left, real = iter(range(written)), os.replace

    def killed(*paths):
        if next(left, None) is None:
            raise KeyboardInterrupt
        real(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            report.build(tmp_path / "site", report.Content(runs.results))
    (tmp_path / "site" / "assets" / ".report.css.0.tmp").touch()  # what SIGKILL leaves in addition
    report.build(tmp_path / "site", report.Content(runs.results))
    assert (tmp_path / "site" / "index.html").is_file()
    assert not list((tmp_path / "site").rglob("*.tmp"))


def test_another_folder_is_not_overwritten(runs, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(report.ReportProblem, match="found other files"):
        report.build(tmp_path, report.Content(runs.results), QUIET)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"datasets": ["popout_frist6"]}, "unknown folder of results 'popout_frist6'. Did you mean 'popout_first6'?"),
        ({"datasets": ["popout_first6", "nothing"]}, "unknown folder of results 'nothing'. Known: popout_first6"),
        ({"maps": "/nowhere"}, "/nowhere: expected a folder of maps, found none."),
    ],
)
def test_what_is_not_there_is_told_before_a_site_is_made(options, message, runs, tmp_path):
    with pytest.raises(report.ReportProblem, match=re.escape(message)):
        report.build(tmp_path / "site", report.Content(runs.results, **options), QUIET)
    assert not (tmp_path / "site").exists()
