"""The report in a real headless browser, as a reader meets it."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from stop.report.render import render
from tests.report import scripts
from tests.report.conftest import browser_path

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap]

PHONE = {"width": 360, "height": 740}
WIDE = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def browser():
    """Chromium; run as root it needs to be told that it may."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        found = driver.chromium.launch(
            executable_path=browser_path(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield found
        found.close()


@pytest.fixture
def visit(browser):
    """visit(path, ...) -> a page; its console stays empty, and it asks for nothing but itself."""
    contexts, said, asked = [], [], []

    def open_page(path, **options):
        context = browser.new_context(**({"viewport": WIDE} | options))
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert all(url.startswith("file:///") and url.endswith(".html") for url in asked)
    assert len(asked) == len(contexts)


def chosen(page):
    """The id of the program in the panel, as far as it is shown."""
    return page.locator("#panel h3 .id").inner_text()


def row(page, program):
    return page.locator("[role=treeitem]:visible > .row", has_text=program[:10]).first


def test_it_opens_with_the_best_program(visit, pages, run):
    page = visit(pages["run"])
    assert page.title().startswith("The improver got better") or "→" in page.title()
    assert chosen(page) == run.best.id[:10]
    text = page.locator("#panel ol.text").inner_text()
    assert "Improve it further" in text
    assert page.locator("#panel .h-k", has_text="return").count() >= 1
    assert page.locator("#list").is_hidden()


def test_the_tree_by_mouse(visit, pages, run):
    page = visit(pages["run"])
    first = run.lineage.path_to_best()[0].program_id
    row(page, first).click()
    assert chosen(page) == first[:10]
    assert page.locator("#tree [aria-selected=true]").count() == 1
    group = page.locator("[role=treeitem]:visible > .row", has_text="Programs it wrote").first
    before = page.locator("[role=treeitem]:visible").count()
    group.click()
    assert page.locator("[role=treeitem]:visible").count() > before
    solution = group.locator("xpath=..").locator("[role=treeitem] > .row").first
    solution.click()
    assert page.locator("#panel h3").inner_text().startswith("Solution")
    page.get_by_role("tab", name="Scores").click()
    assert "meta" in page.locator("#tab-panel").inner_text()
    group.locator(".twist").click()
    assert page.locator("[role=treeitem]:visible").count() == before
    page.locator("#panel a.id").first.click()
    assert page.locator("#panel h3").inner_text().startswith(("Improver", "Solution"))


def test_the_tree_by_keyboard(visit, pages, run):
    page = visit(pages["run"])
    path = [node.program_id for node in run.lineage.path_to_best()]
    page.locator("[role=treeitem][tabindex='0']").focus()

    def focused():
        return page.evaluate("document.activeElement.querySelector('.row').innerText")

    assert path[-1][:10] in focused()
    page.keyboard.press("Home")
    assert path[0][:10] in focused()
    page.keyboard.press("Enter")
    assert chosen(page) == path[0][:10]
    page.keyboard.press("ArrowLeft")  # closes it
    assert page.locator("[role=treeitem]:visible").count() == 1
    page.keyboard.press("ArrowRight")  # opens it again
    page.keyboard.press("ArrowRight")  # goes in
    assert path[1][:10] in focused()
    page.keyboard.press(" ")
    assert chosen(page) == path[1][:10]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")  # to the parent
    assert path[0][:10] in focused()
    page.keyboard.press("End")
    assert path[0][:10] not in focused()
    page.keyboard.press("ArrowUp")
    outline = "getComputedStyle(document.activeElement.querySelector('.row')).outlineStyle"
    assert page.evaluate(outline) == "solid"
    assert page.locator("[role=tree] [tabindex='0']").count() == 1
    page.keyboard.press("Tab")  # out of the tree, into the panel
    assert page.evaluate("document.activeElement.closest('#panel') !== null")


def test_the_diff_by_keyboard(visit, pages, run):
    page = visit(pages["run"])
    page.get_by_role("tab", name="Text").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.textContent") == "What changed"
    path = [node.program_id for node in run.lineage.path_to_best()]
    added = page.locator("#panel tr.added").all_inner_texts()
    assert any("Improve it further" in line for line in added)
    assert not any("import extract_code" in line for line in added)
    page.locator("#panel select").select_option(path[0])
    assert "One answer" in page.locator("#panel tr.removed").first.inner_text()


def test_any_two_programs_can_be_compared(visit, pages, run):
    page = visit(pages["run"])
    page.get_by_role("tab", name="What changed").click()
    keep = page.get_by_role("button", name="Compare others with this one")
    keep.focus()
    page.keyboard.press("Enter")
    other = next(
        node.program_id
        for node in run.lineage.nodes("improver")
        if "unknown_model" in run.lineage.source(node.program_id)
    )
    row(page, other).click()
    assert run.best.id[:10] in page.locator("#panel select option:checked").inner_text()
    assert "unknown_model" in " ".join(page.locator("#panel tr.added").all_inner_texts())


def changed_lines(old, new):
    """How many lines the shortest diff adds and removes."""
    common = [0] * (len(new) + 1)
    for line in old:
        above = common[:]
        for j, other in enumerate(new):
            common[j + 1] = above[j] + 1 if line == other else max(above[j + 1], common[j])
    return len(new) - common[-1], len(old) - common[-1]


def shown_lines(place):
    """Rows of a diff as [old number, new number, sign, text]."""
    rows = place.locator("table.diff tr:is(.added, .removed, .same)")
    cells = "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    return rows.evaluate_all(cells)


def test_a_diff_is_short_and_has_the_lines_of_both(visit, pages, run):
    page = visit(pages["run"])
    page.get_by_role("tab", name="What changed").click()
    names = {"": "same", "+": "added", "−": "removed"}
    compared = 0
    for node in run.lineage.nodes("improver"):
        row(page, node.program_id).click()
        select = page.locator("#panel select")
        values = select.locator("option").evaluate_all("all => all.map(each => each.value)")
        for other in values:
            select.select_option(other)
            old, new = (run.lineage.source(each).splitlines() for each in (other, node.program_id))
            shown = shown_lines(page.locator("#panel"))
            for before, after, sign, text in shown:
                assert names[sign.strip()]
                assert sign == "+" or old[int(before) - 1] == text
                assert sign == "−" or new[int(after) - 1] == text
            added, removed = changed_lines(old, new)
            signs = [sign for _, _, sign, _ in shown]
            assert (signs.count("+"), signs.count("−")) == (added, removed)
            words = f"+{added} −{removed} lines" if shown else "The texts are the same."
            assert words in page.locator("#panel").inner_text()
            compared += 1
    assert compared > 8


def test_the_story_and_the_panel_show_the_same(visit, pages, run):
    page = visit(pages["run"])
    story = page.locator("article.step").last
    page.get_by_role("tab", name="What changed").click()
    assert shown_lines(story) == shown_lines(page.locator("#panel"))
    assert story.locator("td.line .h-k", has_text="return").count() >= 1
    assert story.locator("pre.answer").first.is_hidden()  # the response; the plain diff is gone
    story.locator("summary", has_text="The whole program").click()
    page.get_by_role("tab", name="Text").click()
    whole = story.locator("ol.text").inner_text()
    assert whole == page.locator("#panel ol.text").inner_text()


def test_the_largest_texts_can_be_compared(visit, made, run):
    from stop.report.gather import gather
    from stop.report.text import MAX_LINES

    report = gather(run.folder)
    first, *_, best = (node.program_id for node in run.lineage.path_to_best())
    lines = tuple(f"{i}" for i in range(2 * MAX_LINES))
    texts = {first: tuple(range(MAX_LINES)), best: tuple(range(MAX_LINES, 2 * MAX_LINES))}
    programs = dataclasses.replace(
        report.programs, lines=lines, marks=("",) * len(lines), texts=texts
    )
    path = made / "largest.html"
    path.write_text(render(dataclasses.replace(report, programs=programs)), "utf-8")
    page = visit(path)
    page.get_by_role("tab", name="What changed").click()
    page.locator("#panel select").select_option(first)
    assert f"+{MAX_LINES} −{MAX_LINES} lines" in page.locator("#panel").inner_text()


def test_links_in_the_story_choose_a_program(visit, pages):
    page = visit(pages["run"])
    link = page.locator("#security a.id").first
    link.click()
    assert chosen(page) == link.inner_text()
    page.get_by_role("tab", name="Security").click()
    assert "Seen" in page.locator("#tab-panel").inner_text()


def test_scores_of_an_improver_by_repetition(visit, pages):
    page = visit(pages["run"])
    page.get_by_role("tab", name="Scores").click()
    rows = page.locator("#tab-panel tbody tr").all_inner_texts()
    assert [row.split("\t")[:2] for row in rows][:5] == [["knapsack", str(n)] for n in range(1, 6)]
    assert rows[5].split("\t")[:2] == ["knapsack", "final comparison, 1"]


@pytest.mark.parametrize("name", ["run", "nasty"])
def test_a_phone_needs_no_scrolling_to_the_side(visit, pages, name):
    page = visit(pages[name], viewport=PHONE)
    for tab in ("What changed", "Scores", "Text"):
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    size = "parseFloat(getComputedStyle(document.querySelector('main p')).fontSize)"
    assert page.evaluate(size) >= 16
    assert page.locator("svg.narrow").count() == page.locator("svg.narrow:visible").count()


def test_on_a_phone_the_program_comes_into_sight(visit, pages, run):
    page = visit(pages["run"], viewport=PHONE)
    row(page, run.lineage.path_to_best()[0].program_id).click()
    top = page.locator("#panel").bounding_box()["y"]
    assert 0 <= top < 200


CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => {
    const part = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(rgb[0]) + 0.7152 * part(rgb[1]) + 0.0722 * part(rgb[2]);
  };
  const under = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  let seen = 0;
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    const box = element.getBoundingClientRect();
    if (!own || box.width < 2 || !box.height || element.closest("script, svg, .skip")) continue;
    seen += 1;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(under(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push([element.className, element.textContent.slice(0, 30), ratio]);
  }
  return [seen, poor];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out(visit, pages, scheme):
    page = visit(pages["run"], color_scheme=scheme)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, dark[4:-1].split(","))) < 150) == (scheme == "dark")
    for tab in ("Text", "What changed"):
        page.get_by_role("tab", name=tab).click()
        seen, poor = page.evaluate(CONTRAST)
        assert seen > 200
        assert poor == []


def test_without_javascript_the_story_is_there(visit, pages, run):
    page = visit(pages["run"], java_script_enabled=False)
    words = page.locator("body").inner_text()
    assert "led from the first improver to the best one" in words
    assert "+    return max(programs, key=utility)" in words.replace("\t", "")
    assert page.locator("#browser").is_hidden()
    assert page.locator("#list").is_visible()
    listed = page.locator("#list tbody tr").count()
    assert listed == run.lineage.count("improver")
    assert "need JavaScript" in words
    page.locator("summary", has_text="The whole program").first.click()
    whole = page.locator("article details:last-of-type pre").first
    assert "def improve_algorithm" in whole.inner_text()
    added = page.locator("article [data-from] .added")
    colours = added.evaluate_all("all => all.map(each => getComputedStyle(each).backgroundColor)")
    assert len(set(colours)) == 1
    assert colours[0] != "rgba(0, 0, 0, 0)"


def test_on_paper_everything_is_open(visit, pages):
    page = visit(pages["run"])
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.locator("nav.contents").is_hidden()
    assert page.locator("article ol.text").first.is_visible()


def test_nasty_programs_do_nothing(visit, pages, nasty):
    page = visit(pages["nasty"])
    assert page.title() != "owned"
    count = page.locator("[role=treeitem]:visible").count()
    assert count >= len(scripts.NASTY)
    for number, tab in itertools.product(range(count), ("Text", "What changed", "Scores")):
        page.locator("[role=treeitem]:visible > .row").nth(number).click()
        page.get_by_role("tab", name=tab).click()
        tags = page.locator("#panel").evaluate(
            "panel => [...new Set([...panel.querySelectorAll('*')].map(e => e.localName))]"
        )
        assert not {"img", "script", "style", "svg", "iframe"} & set(tags)
    assert page.title() != "owned"
    assert page.evaluate("document.querySelectorAll('script').length") == 2
    assert page.evaluate("document.querySelectorAll('img').length") == 0


def test_the_policy_stops_what_would_be_added(browser, pages):
    """Were there a hole, the browser would still not run or fetch what comes through it."""
    html = pages["run"].read_text("utf-8")
    own = "document.title='owned'"
    hole = f'<p id=hole><img src=x onerror="{own}"></p><script>{own}</script>'
    path = pages["run"].with_name("hole.html")
    path.write_text(html.replace("<main>", f"<main>{hole}"), "utf-8")
    page = browser.new_page()
    failed = []
    page.on("requestfailed", lambda request: failed.append(request.failure))
    page.goto(path.as_uri())
    assert page.locator("#hole").count() == 1
    assert page.title() != "owned"
    assert failed == ["csp"]
    attempt = "try { document.body.innerHTML = 'x' } catch (error) { return error.name }"
    assert page.evaluate(f"(() => {{ {attempt} }})()") == "TypeError"  # trusted types
    page.close()


def test_a_large_run_makes_little_of_the_page(visit, made):
    """Branches are made when they are opened, texts when they are chosen."""
    from benchmarks.large_run import make_run
    from stop.report import write_report

    path = write_report(make_run(made / "large", 6000), made / "large.html")
    assert path.stat().st_size < 10 << 20
    page = visit(path)
    assert page.locator("#panel ol.text li").count() > 5
    everything = page.locator("body *")
    opened = everything.count()
    assert opened < 60_000
    items = page.locator("[role=treeitem]:visible > .row")
    rows = page.locator("#tree *").count()
    for number in range(5):
        items.nth(number).click()
        for tab in ("What changed", "Text"):
            page.get_by_role("tab", name=tab).click()
            assert page.locator("#panel *").count() < 3000
    assert page.locator("#tree *").count() == rows
    assert everything.count() < opened + 3000
