"""The page as a reader meets it: in headless Chromium, from disk, on a desk and on a phone, by day and by night."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.report_evidence import content, run, write_count, write_run
from tests.report_records import done, failed, save, save_picture, trials
from transfer.commands.report import write_report
from transfer.record import TrialRecord
from transfer.report.compare.paper import paper_forms
from transfer.report.write.board import write_board

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on PATH")
PICTURES = ["work/pictures/000201.jpg", "work/pictures/000226.png"]
PHONE: ViewportSize = {"width": 360, "height": 740}
DESK: ViewportSize = {"width": 1200, "height": 900}


LENGTHS = [run(f"{number} epochs", seed, number) for number in (2, 4) for seed in range(3)]


def eleven() -> list[TrialRecord]:
    """Two trials of each data set of the linear table, with an inflated reference."""
    form = next(form for form in paper_forms() if form.title == "Eleven data sets, linear")
    return [
        record
        for place in form.places
        for record in trials(
            [{place.metric: 60.0}, {place.metric: 61.5}], benchmark=place.benchmark, inflated={place.metric: 62.0}
        )
    ]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    records = [
        *trials([50.0, 51.5, 52.1], weights="random-resnet18", references={"all background": {"miou": 45.1}}),
        *trials([60.0, 61.0, 62.5], pictures=PICTURES),
        *trials([9.0, 8.0, 7.5], weights="below-ten"),
        failed(seed=3),
        done(40.0, seed=0, weights="short", protocol_difference=["max_iters: 200 -> 20"]),
        *trials(
            [{"box_ap": 55.0, "box_ap50": 81.0, "box_ap75": 60.0}], weights="<script>alert(1)</script>", benchmark="voc"
        ),
    ]
    records += [done({"nmi": 60.0, "acc": 55.0}, benchmark="demo-cluster", pictures=["work/top3.png"]), *eleven()]
    runs = save([record.sealed() for record in records], tmp_path_factory.mktemp("page") / "runs")
    save_picture(next(record for record in records if record.benchmark == "demo-cluster"), runs, "work/top3.png")
    (runs / "ablations" / "terms").mkdir(parents=True)
    (runs / "ablations" / "terms" / "ablation.json").write_bytes(content("epochs", LENGTHS, swept="epochs"))
    write_run(runs / "pretrain" / "demo", [2.0, 1.5, 1.0])
    write_count(runs)
    for name in PICTURES:
        save_picture(records[3], runs, name)
    return write_report([runs])[1].as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(params=[(DESK, "light"), (PHONE, "dark")], ids=["desk-light", "phone-dark"])
def page(url: str, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page; at the end of each test it must have said nothing on the console and asked for nothing."""
    viewport, scheme = request.param
    page = browser.new_page(viewport=viewport, color_scheme=scheme)
    noise: list[str] = []
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("dialog", lambda dialog: noise.append(dialog.message))
    page.on("request", lambda asked: noise.append(asked.url) if asked.url != url else None)
    page.goto(url)
    yield page
    page.close()
    assert noise == []


def column(page: Page, table: str, index: int) -> list[str]:
    """Texts of a column's cells, group headings left out."""
    cells = page.locator(f"table[aria-labelledby='{table}'] tbody").first.locator(
        f"tr:not(.group) > :nth-child({index})"
    )
    return cells.all_inner_texts()


def test_nothing_is_wider_than_the_screen_but_what_scrolls_in_itself(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_every_table_that_is_shown_fits_its_card(page: Page) -> None:
    page.locator("details").evaluate_all("all => all.forEach((each) => { each.open = true; })")
    wide = page.locator("section .scroll > table").evaluate_all(
        "all => all.filter((each) => each.scrollWidth > each.parentElement.clientWidth + 1)"
        ".map((each) => `${each.getAttribute('aria-labelledby')} is ${each.scrollWidth} px wide`)"
    )
    assert wide == [], "; ".join(wide)


def test_pictures_are_drawn_at_their_size_from_the_page_alone(page: Page) -> None:
    pictures = page.locator("section:has(h2[id='demo.demo-seg']) img")
    pictures.first.scroll_into_view_if_needed()
    sizes = pictures.evaluate_all(
        "all => Promise.all(all.map(async (each) => { each.loading = 'eager'; await each.decode(); "
        "return [each.naturalWidth, each.naturalHeight, Math.round(10 * each.width / each.height)]; }))"
    )
    assert sizes == [[48, 24, 20]] * len(PICTURES)


def test_the_eleven_data_sets_are_read_without_scrolling_sideways_and_sort(page: Page) -> None:
    table = page.locator("table.dense").filter(has_text="Caltech-101").first
    assert table.evaluate("table => table.scrollWidth <= table.parentElement.clientWidth")
    texts = table.locator("tbody td").all_inner_texts()
    assert sum("60.75" in text for text in texts) == 12  # with the average
    table.locator("thead button").nth(3).click()
    assert table.locator("thead th").nth(3).get_attribute("aria-sort") == "descending"
    cells = table.locator("td")
    assert cells.evaluate_all("all => all.every((each) => each.scrollWidth <= each.clientWidth + 1)")


def test_small_print_of_clustering_pictures_keeps_its_size(page: Page) -> None:
    picture = page.locator(".plots img")
    picture.scroll_into_view_if_needed()
    assert picture.evaluate("image => image.getBoundingClientRect().width") >= 600


def test_night_is_dark_and_day_is_light(page: Page) -> None:
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    channels = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(channels) < 60) == dark and (min(channels) > 200) == (not dark)


@pytest.mark.parametrize(
    "selector",
    [
        "body", "td.num button", ".published td", ".inflated td", ".spread", ".legend li", ".overlap", ".lead",
        ".group span", "dt",
    ],
)  # fmt: skip
def test_text_has_enough_contrast(page: Page, selector: str) -> None:
    ratio = page.evaluate(
        """selector => {
          const luminance = (colour) => {
            const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((channel) => {
              const part = channel / 255;
              return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          let behind = document.querySelector(selector);
          const text = luminance(getComputedStyle(behind).color);
          while (getComputedStyle(behind).backgroundColor.endsWith(", 0)")) behind = behind.parentElement;
          const ground = luminance(getComputedStyle(behind).backgroundColor);
          return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
        }""",
        selector,
    )
    assert ratio >= 4.5  # WCAG 2.1, level AA


def test_a_click_on_a_title_sorts_by_value_and_a_third_restores_the_order(page: Page) -> None:
    table = "demo.demo-seg-results"
    order = column(page, table, 2)
    title = page.locator(f"table[aria-labelledby='{table}'] thead th").nth(1)
    title.locator("button").click()
    assert title.get_attribute("aria-sort") == "descending"
    assert column(page, table, 2) == ["61.17 ± 1.26 (3 of 4)", "51.20 ± 1.08 (3)", "8.17 ± 0.76 (3)"]
    title.locator("button").click()
    assert column(page, table, 2) == ["8.17 ± 0.76 (3)", "51.20 ± 1.08 (3)", "61.17 ± 1.26 (3 of 4)"]
    title.locator("button").click()
    assert title.get_attribute("aria-sort") is None
    assert column(page, table, 2) == order


def test_names_sort_as_text(page: Page) -> None:
    table = "demo.demo-seg-results"
    title = page.locator(f"table[aria-labelledby='{table}'] thead th button").first
    title.click()
    labels = column(page, table, 1)
    assert len(labels) == 3 and labels == sorted(labels)


def test_measured_off_protocol_and_published_rows_stay_apart_when_sorted(page: Page) -> None:
    bodies = page.locator("table[aria-labelledby='demo.voc-results'] tbody")
    before = [set(body.locator("tr").all_inner_texts()) for body in bodies.all()]
    page.locator("table[aria-labelledby='demo.voc-results'] thead button").nth(1).click()
    assert [set(body.locator("tr").all_inner_texts()) for body in bodies.all()] == before
    assert len(before) == 2 and "Published" in bodies.nth(1).locator("tr").first.inner_text()


def test_every_figure_opens_the_card_of_its_row_and_it_closes_again(page: Page) -> None:
    page.locator("details").evaluate_all("all => all.forEach((each) => { each.open = true; })")
    figures = page.locator("main td button").all()
    assert len(figures) > 80
    for figure in figures:
        target = figure.get_attribute("popovertarget")
        figure.evaluate("button => button.click()")
        assert page.locator(".card:popover-open").evaluate_all("all => all.map((each) => each.id)") == [target]
        page.keyboard.press("Escape")
        assert page.locator(".card:popover-open").count() == 0


def test_a_card_opens_by_the_mouse_inside_the_screen_and_tells_seeds_and_hashes(page: Page) -> None:
    row = page.locator("table[aria-labelledby='demo.demo-seg-results'] tr", has_text="twist").first
    row.locator("button").first.click()
    card = page.locator(".card:popover-open")
    box = card.bounding_box()
    assert box is not None and page.viewport_size is not None
    assert box["x"] >= 0 and box["x"] + box["width"] <= page.viewport_size["width"]
    assert "demo-seg: twist" in card.locator("h3").inner_text()
    words = card.inner_text()
    for expected in ("60.00", "61.00", "62.50", "3 (failed)", "0123456789", "cpu x86_64, 1 thread", "torch 2.14.0"):
        assert expected in words
    card.locator("button", has_text="Close").click()
    assert page.locator(".card:popover-open").count() == 0


def test_a_figure_can_be_opened_with_the_keyboard(page: Page) -> None:
    page.locator("main td button").first.focus()
    page.keyboard.press("Enter")
    assert page.locator(".card:popover-open").count() == 1


def test_on_paper_no_table_is_cut_off_and_every_trial_is_there(url: str, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1032, "height": 690})  # letter, turned, less 12 mm on every side
    page.emulate_media(media="print")
    page.goto(url)
    tables = page.locator("section .scroll > table")
    wide = tables.evaluate_all("all => all.map((each) => each.scrollWidth - each.parentElement.clientWidth)")
    assert wide and max(wide) <= 1
    folded = page.locator("details table").evaluate_all("all => all.map((each) => each.checkVisibility())")
    assert folded and all(folded)
    page.close()


def test_figures_sort_by_what_they_are_worth(page: Page) -> None:
    worth = page.evaluate(
        "all => all.map(number)",
        ["< 0.001", "0.001", "1.1e−05", "1\u202f000", "999", "2 h 10 min", "1 min 05 s", "59 s", "n < 3"],
    )
    assert worth[:2] == [pytest.approx(0.000999), 0.001] and worth[2:5] == [1.1e-5, 1000, 999]
    assert worth[5:8] == [7800, 65, 59] and worth[8] != worth[8]


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_a_board_filters_and_sorts_and_fits_the_screen(
    browser: Browser, viewport: ViewportSize, tmp_path: Path
) -> None:
    off = done(99.0, weights="short", protocol_difference=["max_iters: 200 -> 20"])
    boxes = trials([{"box_ap": 55.0}], weights="<script>alert(1)</script>" * 4, benchmark="voc")
    save([*trials([60.0, 61.0, 62.5]), *trials([70.0, 71.0], weights="moco"), off, *boxes], tmp_path)
    page = browser.new_page(viewport=viewport)
    noise: list[str] = []
    page.on("console", lambda message: noise.append(message.text))
    page.on("dialog", lambda dialog: noise.append(dialog.message))
    page.goto(write_board(tmp_path)[1].as_uri())

    def shown() -> list[str]:
        return [text[:5] for text in page.locator("tr.measured:visible th").all_inner_texts()]

    assert shown() == ["<scri", "moco", "twist", "short"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.select_option("select[name=benchmark]", "demo-seg")
    page.select_option("select[name=standing]", "on protocol")
    assert shown() == ["moco", "twist"] and page.locator("output").inner_text() == "2 of 4 rows"
    page.locator("thead button").nth(2).click()
    page.locator("thead button").nth(2).click()
    assert shown() == ["twist", "moco"]
    page.select_option("select[name=arch]", "resnet18")
    page.select_option("select[name=standing]", "off protocol")
    assert shown() == ["short"]
    page.close()
    assert noise == []
