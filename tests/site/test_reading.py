"""读者的动作：前后翻页、搜索、深浅色、Colab、下载、修改；编号与孪生笔记本一致。"""

import re
from pathlib import Path
from urllib.parse import quote

import nbformat
import pytest
from site_browser import BOOK, DOCNAMES, HTML, LESSONS, Site, Visit, page_file

every_lesson = pytest.mark.parametrize("visit", LESSONS, indirect=True, ids=str)
home = pytest.mark.parametrize("visit", ["book/index"], indirect=True)


def link(visit: Visit, selector: str) -> str:
    """链接的完整地址。"""
    return str(visit.page.locator(selector).first.evaluate("a => a.href"))


# ---- 翻页与编号 -------------------------------------------------------------------------


@pytest.mark.parametrize("position", range(len(DOCNAMES)), ids=DOCNAMES.__getitem__)
def test_previous_and_next_follow_the_toc(position: int) -> None:
    html = page_file(DOCNAMES[position]).read_text(encoding="utf-8")
    for rel, neighbour in [("prev", position - 1), ("next", position + 1)]:
        side = {"prev": "left", "next": "right"}[rel]
        found = re.search(rf'<a class="{side}-{rel}"\s+href="([^"]+)"', html)
        if 0 <= neighbour < len(DOCNAMES):
            assert found, f"{DOCNAMES[position]} 没有 {rel}"
            target = (page_file(DOCNAMES[position]).parent / found[1]).resolve()
            assert target == page_file(DOCNAMES[neighbour]).resolve()
        else:
            assert found is None


@home
def test_chapter_and_lesson_numbers_in_the_sidebar(visit: Visit) -> None:
    entries = visit.js(
        "[...document.querySelectorAll('.bd-links a.internal')]"
        ".map(a => [a.href.replace(/#.*/, ''), a.innerText.trim()])"
    )
    shown = {Path(href).stem + "|" + Path(href).parent.name: text for href, text in entries}
    for page in BOOK.pages[1:]:
        text = shown[f"{Path(page.docname).name}|{Path(page.docname).parent.name}"]
        found = re.match(r"([\d.]*)\s*", text)
        assert found
        assert found[1] == page.number, text


def twin_numbers(path: Path) -> set[str]:
    """孪生笔记本正文里出现的编号，如 ``图 1.2.1``、``(1.2.1)``。"""
    cells = nbformat.read(path, 4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    named = re.findall(r"(图|表|练习)\s*(\d+\.\d+\.\d+)", text)
    equations = re.findall(r"(?:\\tag\{|\()(\d+\.\d+\.\d+)[})]", text)
    return {f"{kind} {number}" for kind, number in named} | {f"({n})" for n in equations}


def own(numbers: set[str], lesson: str) -> set[str]:
    """只留属于这一课的编号（引用别课的除外）。"""
    return {n for n in numbers if re.search(rf"(?<![\d.]){re.escape(lesson)}\.\d+", n)}


@every_lesson
def test_numbers_equal_those_in_the_twin(visit: Visit) -> None:
    docname = visit.js("DOCUMENTATION_OPTIONS.pagename")
    lesson = next(page for page in BOOK.lessons if page.docname == docname)
    captions = visit.js(
        "[...document.querySelectorAll('article .caption-number')].map(e => e.textContent.trim())"
    )
    equations = visit.js(
        "[...document.querySelectorAll('article .eqno')].map(e => e.firstChild.textContent.trim())"
    )
    site = {re.sub(r"\s+", " ", text) for text in [*captions, *equations]}
    assert site, "一课里至少有一个编号"
    assert own(twin_numbers(lesson.twin), lesson.number) == site
    # 正文里提到别课的编号，也要真有
    elsewhere = twin_numbers(lesson.twin) - own(twin_numbers(lesson.twin), lesson.number)
    # textContent 也看得见折叠起来的提示与解答
    article = visit.js("document.querySelector('article').textContent").replace("\xa0", " ")
    assert [number for number in elsewhere if number not in article] == []


# ---- 搜索 -----------------------------------------------------------------------------

WORDS = ["交叉熵", "感知机", "汇聚层", "梯度", "熵", "softmax", "ReLU", "relu", "交叉熵 softmax"]


def search(site: Site, query: str, scheme: str) -> tuple[list[str], list[str]]:
    """搜一个词，返回结果标题与异常。"""
    with site.open(f"search.html?q={quote(query)}", scheme=scheme) as visit:
        visit.page.wait_for_function(
            "/匹配|找到/.test(document.querySelector('#search-results p')?.innerText)"
        )
        titles = visit.page.locator("#search-results ul.search > li > a").all_inner_texts()
        return titles, visit.errors + visit.outside


@pytest.mark.parametrize("query", WORDS)
def test_search_finds_course_words(site: Site, query: str) -> None:
    titles, troubles = search(site, query, "http")
    assert titles
    assert troubles == []


@pytest.mark.parametrize("query", WORDS[:4])
def test_search_works_from_a_folder(site: Site, query: str) -> None:
    titles, troubles = search(site, query, "file")
    assert titles
    assert troubles == []


@pytest.mark.parametrize("query", ["鹦鹉螺", "叉交熵", "xyzzyx", "汇熵叉"])
def test_search_finds_nothing_for_absent_words(site: Site, query: str) -> None:
    assert search(site, query, "http") == ([], [])


def test_search_shows_excerpts_with_the_whole_word_marked(site: Site) -> None:
    with site.open(f"search.html?q={quote('交叉熵')}") as visit:
        mark = visit.page.locator("#search-results .context .highlighted").first
        mark.wait_for()
        assert mark.inner_text() == "交叉熵"


def test_search_dialog_opens_with_the_keyboard(site: Site) -> None:
    with site.open("book/index") as visit:
        visit.page.keyboard.press("Control+k")
        box = visit.page.locator(".search-button__search-container input[type=search]")
        box.wait_for(state="visible")
        box.fill("交叉熵")
        box.press("Enter")
        visit.page.wait_for_url("**/search.html?q=*")
        visit.page.locator("#search-results ul.search > li > a").first.wait_for()


# ---- 按钮 -----------------------------------------------------------------------------


@every_lesson
def test_colab_link_points_at_the_twin(visit: Visit) -> None:
    docname = visit.js("DOCUMENTATION_OPTIONS.pagename")
    repository = BOOK.repository.removeprefix("https://github.com/")
    expected = (
        f"https://colab.research.google.com/github/{repository}/blob/{BOOK.branch}/{docname}.ipynb"
    )
    assert link(visit, ".dropdown-launch-buttons a") == expected
    assert (BOOK.root / f"{docname}.ipynb").exists()


@every_lesson
def test_download_button_gives_the_executed_twin(visit: Visit) -> None:
    docname = visit.js("DOCUMENTATION_OPTIONS.pagename")
    address = link(visit, "a.btn-download-notebook-button")
    body = visit.page.request.get(address).body()
    assert body == (BOOK.root / f"{docname}.ipynb").read_bytes()
    assert link(visit, "a.btn-download-source-button").endswith(f"{docname}.md")


@pytest.mark.parametrize("visit", DOCNAMES, indirect=True, ids=str)
def test_edit_issue_and_repository_buttons(visit: Visit) -> None:
    docname = visit.js("DOCUMENTATION_OPTIONS.pagename")
    edit = f"{BOOK.repository}/edit/{BOOK.branch}/{docname}.md"
    assert link(visit, "a.btn-source-edit-button") == edit
    assert link(visit, "a.btn-source-issues-button").startswith(f"{BOOK.repository}/issues/new?")
    assert link(visit, "a.btn-source-repository-button").rstrip("/") == BOOK.repository


@home
def test_buttons_speak_chinese(visit: Visit) -> None:
    names = visit.js(
        "[...document.querySelectorAll('.bd-main .header-article-items [title],"
        " .bd-main .header-article-items [aria-label]')]"
        ".map(e => e.getAttribute('aria-label') || e.title || e.dataset.bsOriginalTitle)"
    )
    assert names
    assert [name for name in names if not re.search(r"[\u4e00-\u9fff]", name)] == []


@pytest.mark.parametrize("color", ["light", "dark"])
def test_theme_follows_the_system_at_first(site: Site, color: str) -> None:
    with site.open("book/index", color_scheme=color) as visit:
        assert visit.js("document.documentElement.dataset.theme") == color


def test_theme_button_cycles_and_is_remembered(site: Site) -> None:
    mode = "document.documentElement.dataset.mode"
    with site.open("book/index") as visit:
        button = visit.page.locator(".theme-switch-button:visible").first
        seen = []
        for _ in range(3):
            button.click()
            seen.append(visit.js(mode))
        assert sorted(seen) == ["auto", "dark", "light"]
        while visit.js(mode) != "dark":
            button.click()
        visit.page.reload()
        assert visit.js("document.documentElement.dataset.theme") == "dark"
        color = visit.js("getComputedStyle(document.body).backgroundColor")
        assert max(map(int, re.findall(r"\d+", color)[:3])) < 64


@home
def test_icons_come_from_our_own_fonts(visit: Visit) -> None:
    assert visit.js("document.fonts.ready.then(f => f.check('900 16px \"Font Awesome 6 Free\"'))")
    assert "fontawesome" not in visit.js("[...document.scripts].map(s => s.src).join(' ')")


# ---- 由数据推出的页面 ------------------------------------------------------------------------


def test_errata_list_links_reach_the_boxes() -> None:
    html = (HTML / "book" / "errata.html").read_text(encoding="utf-8")
    links = re.findall(r'href="([\w/-]+\.html)#(errata-[\w-]+)"', html)
    assert links
    for page, anchor in links:
        assert f'id="{anchor}"' in (HTML / "book" / page).read_text(encoding="utf-8")


def test_status_page_lists_every_lesson() -> None:
    html = (HTML / "book" / "status.html").read_text(encoding="utf-8")
    for lesson in BOOK.lessons:
        assert f'href="{lesson.name}.html"' in html


def test_home_lists_every_lesson_with_its_description() -> None:
    html = (HTML / "book" / "index.html").read_text(encoding="utf-8")
    article = html[html.index("<article") : html.index("</article")]
    for lesson in BOOK.lessons:
        assert f'href="{lesson.name}.html"' in article
        assert f"{lesson.number} " in article
