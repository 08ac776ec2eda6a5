"""What assistive technology needs of the pages (rules of axe-core, dequeuniversity.com/rules/axe), and their links."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.report_evidence import content, run, write_count, write_run
from tests.report_records import done, failed, save, trials
from transfer.commands.report import write_report
from transfer.report.write.board import write_board

VOID = {"meta", "img", "br", "wbr", "link", "input"}
LANDMARKS = {"header", "nav", "main"}


class Elements(HTMLParser):
    """``found``: tag, attributes and text of each element, in the order in which they close."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str], list[str]]] = []
        self.found: list[tuple[str, dict[str, str], str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        if tag in VOID:
            self.found.append((tag, told, ""))
        else:
            self.open.append((tag, told, []))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}, ""))

    def handle_data(self, data: str) -> None:
        for _, _, texts in self.open:
            texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        opened, told, texts = self.open.pop()
        assert opened == tag, f"<{opened}> ends as </{tag}>"
        self.found.append((tag, told, " ".join("".join(texts).split())))

    def of(self, tag: str) -> Iterator[tuple[dict[str, str], str]]:
        return ((told, text) for name, told, text in self.found if name == tag)


@pytest.fixture(scope="module", params=["report", "board"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Elements:
    runs = tmp_path_factory.mktemp("semantics") / "runs"
    records = [*trials([50.0, 51.5, 52.1], weights="random-resnet18"), *trials([60.0, 61.0, 62.5]), failed(seed=3)]
    records += [done(40.0, weights="short", protocol_difference=["max_iters: 200 -> 20"])]
    records += [*trials([{"box_ap": 55.0, "box_ap50": 81.0}] * 3, weights="a/b_c", benchmark="voc")]
    save(records, runs)
    if request.param == "board":
        return Elements(write_board(runs)[1].read_text())
    folder = runs / "ablations" / "terms"
    folder.mkdir(parents=True)
    outcome = content("epochs", [run(f"{epochs} epochs", 0, epochs) for epochs in (2, 4)], swept="epochs")
    (folder / "ablation.json").write_bytes(outcome)
    write_run(runs / "pretrain" / "demo", [2.0, 1.5, 1.0])
    write_count(runs)
    return Elements(Path(write_report([runs])[1]).read_text())


def test_each_reference_has_one_target(page: Elements) -> None:
    ids = Counter(told["id"] for _, told, _ in page.found if "id" in told)
    assert [name for name, count in ids.items() if count > 1] == []
    asked = {name for _, told, _ in page.found for name in told.get("aria-labelledby", "").split()}
    asked |= {told["popovertarget"] for _, told, _ in page.found if "popovertarget" in told}
    asked |= {told["href"][1:] for told, _ in page.of("a") if told["href"].startswith("#")}
    assert asked and asked <= ids.keys()


def test_landmarks_have_names_of_their_own(page: Elements) -> None:
    """Sections that are named are regions; what scrolls is a group, of which many may be called alike."""
    texts = {told["id"]: text for _, told, text in page.found if "id" in told}
    names = [(tag, "") for tag, _, _ in page.found if tag in LANDMARKS]
    names += [("section", texts[told["aria-labelledby"]]) for told, _ in page.of("section")]
    names += [(told["role"], told.get("aria-label", "")) for _, told, _ in page.found if told.get("role") == "region"]
    assert len(names) == len(set(names)) and sum(tag == "main" for tag, _ in names) == 1


def test_what_is_shown_and_what_is_pressed_says_what_it_is(page: Elements) -> None:
    assert all(told.get("alt") for told, _ in page.of("img"))
    assert all(text for _, text in [*page.of("a"), *page.of("button"), *page.of("summary"), *page.of("h2")])
    assert all("aria-labelledby" in told for told, _ in page.of("svg") if told.get("role") == "img")
    assert all(
        "aria-labelledby" in told for _, told, _ in page.found if "popover" in told or told.get("role") == "group"
    )


def test_each_cell_of_a_table_has_headings(page: Elements) -> None:
    assert {told["scope"] for told, _ in page.of("th")} <= {"col", "row", "rowgroup"}
    titles = Counter("scope" for told, text in page.of("th") if told["scope"] == "col" and not text)
    assert not titles
    assert all("aria-labelledby" in told for told, _ in page.of("table"))
    assert all(told["data-title"] for told, _ in page.of("td"))
