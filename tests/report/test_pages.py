"""The pages in a real browser: opened from disk, used by mouse and keyboard, without a request to any network."""

import shutil
from urllib.parse import parse_qs

import pytest

from .conftest import METHODS

SLUG = "popout_first6-tuebingen"
ADDRESS = "sort=score&way=up&metric=nss&a=spectral_residual&show=kl&opacity=25"
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH: apt-get install chromium")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def trouble():
    """What a page should not do; filled while it is used."""
    return []


@pytest.fixture(scope="module")
def page(browser, trouble):
    """The page that all tests use in turn."""
    page = browser.new_context().new_page()
    page.set_default_timeout(60_000)  # a busy machine draws slowly
    page.on("console", lambda message: message.type in ("error", "warning") and trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda r: r.url.startswith(("file:", "data:")) or trouble.append(r.url))
    page.on("requestfailed", lambda r: trouble.append(f"failed: {r.url}"))
    return page


@pytest.fixture
def visit(page, site, trouble):
    """A function of a page, the part after #, and a width: opens it, in place of the last one."""

    def opened(name, hash="", width=1280):
        assert not page.evaluate("window.hacked")
        page.set_viewport_size({"width": width, "height": 900})
        page.goto("about:blank")  # or another part after # would not load the page again
        page.goto(f"{(site / name).as_uri()}{hash}")
        return page

    yield opened
    assert not page.evaluate("window.hacked")
    assert not trouble


def choice(page, name):
    return page.get_by_role("combobox", name=name, exact=True)


def methods_of(page):
    return page.locator("#leaderboard-table tbody:first-of-type th[scope=row] .name").all_inner_texts()


def test_every_page_opens_on_a_desk_and_on_a_phone(visit, site, tmp_path):
    names = sorted(path.name for path in site.glob("*.html"))
    assert len(names) == 4
    for name in names:
        page = visit(name, width=390)
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") == width, f"{name} is wider than the screen"
        picture = tmp_path / f"{name}.jpg"
        page.screenshot(path=picture, type="jpeg", quality=40)
        assert picture.stat().st_size < 150_000
        assert "Needs JavaScript" not in page.content()


def test_a_leaderboard_is_sorted_by_click_and_by_keyboard(visit):
    page = visit(f"scores-{SLUG}.html")
    head = page.locator("#leaderboard-table thead th").nth(5)  # nss
    cells = page.locator("#leaderboard-table tbody:first-of-type td:nth-child(6)")

    def values():
        return [float(value) for value in cells.evaluate_all("cells => cells.map((cell) => cell.dataset.value)")]

    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert values() == sorted(values(), reverse=True)
    page.keyboard.press("Enter")  # the button has the focus
    assert head.get_attribute("aria-sort") == "ascending"
    assert values() == sorted(values())
    assert page.locator("#leaderboard-table thead [aria-sort]:not([aria-sort=none])").count() == 1
    first = page.locator("#leaderboard-table thead th").first
    first.get_by_role("button").click()
    assert methods_of(page) == sorted(methods_of(page), key=str.lower)
    last = page.locator("#leaderboard-table tbody").nth(1)
    assert last.locator("th .name").all_inner_texts() == ["inter_observer"]  # stays apart


def test_tables_are_copied(visit, runs):
    from salbench import tables

    page = visit(f"scores-{SLUG}.html")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for style, text in (("CSV", "csv"), ("LaTeX", "latex"), ("Markdown", "md")):
        page.get_by_role("button", name=style, exact=True).click()
        page.locator(f"[data-copy={text}]", has_text="Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == tables.dataset_table(runs.results, runs.dataset, text)
    page.get_by_role("button", name=style, exact=True).wait_for()  # the label is back


def test_closed_notes_are_printed(visit):
    page = visit(f"scores-{SLUG}.html")
    shown = "() => [...document.querySelectorAll('details.notes li')].map((line) => line.checkVisibility())"
    assert not any(page.evaluate(shown))
    page.emulate_media(media="print")
    assert all(page.evaluate(shown))
    assert (
        page.locator("details.notes").bounding_box()["height"]
        > page.locator("details.notes ul").bounding_box()["height"]
    )
    page.emulate_media(media="screen")


def test_two_methods_are_compared(visit):
    page = visit(f"scores-{SLUG}.html", "#a=uniform&b=spectral_residual&metric=nss")
    rows = page.locator("table.pair tbody tr")
    there = rows.nth(4).inner_text().split("\t")
    page.get_by_role("button", name="Swap").click()
    back = rows.nth(4).inner_text().split("\t")
    assert (there[1], there[2]) == (back[2], back[1])
    assert float(there[3].split()[0]) == pytest.approx(-float(back[3].split()[0]))
    assert parse_qs(page.url.partition("#")[2]) == {"a": ["spectral_residual"], "b": ["uniform"], "metric": ["nss"]}
    ends = page.locator("ol.images")
    numbers = [float(text.split()[0]) for text in ends.first.locator(".number").all_inner_texts()]
    assert numbers == sorted(numbers, reverse=True)
    ends.nth(1).locator("a").first.click()
    page.wait_for_url("**/images-*")
    shown = parse_qs(page.url.partition("#")[2])
    assert page.locator("#title").inner_text() == shown["id"][0]
    assert shown["sort"] == ["difference"]
    assert page.locator("#grid .id").first.inner_text() == shown["id"][0]  # the same order as in the list


def test_an_image_is_found_by_its_address(visit):
    page = visit(f"images-{SLUG}.html", f"#id=color_03&{ADDRESS}")
    page.locator("#title").wait_for()
    assert page.locator("#title").inner_text() == "color_03"
    over = page.locator(".stage > img.over").first
    assert over.get_attribute("class") == "over paid"
    assert over.evaluate("image => getComputedStyle(image).opacity") == "0.25"
    values = [float(text) for text in page.locator("#grid .number").all_inner_texts()]
    assert values == sorted(values)
    widths = page.locator(".stage > img").evaluate_all("images => images.map((image) => image.naturalWidth)")
    assert all(width > 0 for width in widths)


def test_the_slider_and_the_keys(visit):
    page = visit(f"images-{SLUG}.html", "#id=color_01")
    slider = page.get_by_role("slider", name="Opacity of the overlay")
    slider.focus()
    before = int(slider.input_value())
    page.keyboard.press("ArrowLeft")
    assert int(slider.input_value()) == before - 1
    over = page.locator(".stage > img.over").first
    assert float(over.evaluate("image => image.style.opacity")) == pytest.approx((before - 1) / 100)
    page.locator("#title").click()
    slider.blur()
    page.keyboard.press("ArrowRight")
    page.get_by_role("heading", name="color_02").wait_for()
    page.get_by_role("button", name="Previous image").click()
    page.get_by_role("heading", name="color_01").wait_for()


def test_every_explanation_is_drawn(visit):
    page = visit(f"images-{SLUG}.html", "#id=color_01&map=center_bias")
    show = choice(page, "Show")
    show.wait_for()
    assert set(show.locator("option").evaluate_all("all => all.map((option) => option.value)")) == {
        "map", "density", "kl", "nss", "ig", "roc",
    }  # fmt: skip
    number = page.locator(".points circle").count()
    show.select_option("nss")
    assert page.locator(".points .won").count() + page.locator(".points .lost").count() == number > 5
    show.select_option("ig")
    assert page.locator(".points .lost").count() > 0
    show.select_option("roc")
    assert page.locator("svg.roc polyline").count() == 1
    choice(page, "Observer").select_option("0")
    show.select_option("map")
    assert 0 < page.locator(".points circle").count() < number
    assert page.locator("ul.multiples li").count() == len(METHODS) - 1  # no map of the ceiling


def test_the_grid_sorts_by_difference_and_by_ceiling(visit):
    page = visit(f"images-{SLUG}.html")
    choice(page, "Sort by").select_option("difference")
    choice(page, "Metric").select_option("kl")
    choice(page, "Second method").select_option("uniform")
    values = [float(text) for text in page.locator("#grid .number").all_inner_texts()]
    assert values == sorted(values)  # lower KL is better, so the best come first
    choice(page, "Sort by").select_option("ceiling")
    choice(page, "Metric").select_option("auc")
    assert page.locator("#grid h2").inner_text() == "6 images, by score of inter_observer (auc)"
