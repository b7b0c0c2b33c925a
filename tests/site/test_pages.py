"""每一页都要满足的：不联网、不报错、手机上不横向滚动、标题与图片文字俱全、公式排好。"""

import re

import pytest
from site_browser import ALL_PAGES, DOCNAMES, PHONE, Site, Visit

every_page = pytest.mark.parametrize("visit", ALL_PAGES, indirect=True, ids=str)
every_document = pytest.mark.parametrize("visit", DOCNAMES, indirect=True, ids=str)


@every_page
def test_loads_without_errors_or_outside_requests(visit: Visit) -> None:
    assert visit.outside == []
    assert visit.errors == []


@pytest.mark.parametrize("name", ALL_PAGES)
def test_opens_from_a_folder(site: Site, name: str) -> None:
    with site.open(name, scheme="file", session="folder") as visit:
        assert visit.outside == []
        assert visit.errors == []
        assert visit.js("document.querySelectorAll('.tex:not(:has(.katex))').length") == 0


@pytest.mark.parametrize("name", DOCNAMES)
def test_no_sideways_scroll_on_a_phone(site: Site, name: str) -> None:
    with site.open(name, session="phone", **PHONE) as visit:
        for color in ("light", "dark"):
            visit.js(f"document.documentElement.dataset.theme = '{color}'")
            assert visit.js(WIDTH) <= 390
        visit.js(UNFOLD)
        assert visit.js("document.querySelectorAll('.admonition.toggle-hidden').length") == 0
        assert visit.js(WIDE) == []
        assert visit.js(WIDTH) <= 390


WIDTH = "document.documentElement.scrollWidth"

# 展开所有折叠块
UNFOLD = """() => {
  document.querySelectorAll('details').forEach(d => { d.open = true });
  document.querySelectorAll('.admonition.toggle-hidden > .admonition-title')
    .forEach(title => title.click());
}"""

# 伸出屏幕、又不在自己的滚动框里的元素：要么撑宽页面，要么被框裁掉而读不到
WIDE = """[...document.querySelectorAll('.bd-article *')]
  .filter(e => e.getBoundingClientRect().right > 391
    && !e.closest('pre, .tex, .pst-scrollable-table-container, .lab-scroll, .cell_output .output'))
  .map(e => e.outerHTML.slice(0, 80)).slice(0, 5)"""


@every_document
def test_title_heading_and_language(visit: Visit) -> None:
    heading = visit.js("document.querySelector('article h1').innerText.replace('#', '').trim()")
    title = visit.page.title()
    assert heading
    # 编号与标题之间的空白写法不同，去掉空白再比
    assert re.sub(r"\s", "", heading) in re.sub(r"\s", "", title)
    assert visit.js("document.documentElement.lang") == "zh-CN"


@every_document
def test_math_is_typeset(visit: Visit) -> None:
    formulas = visit.js("document.querySelectorAll('.tex').length")
    typeset = visit.js("document.querySelectorAll('.tex > .katex, .tex > .katex-display').length")
    assert typeset == formulas
    text = visit.js(
        """(() => {
          const copy = document.querySelector('article').cloneNode(true);
          copy.querySelectorAll('.katex, pre, code').forEach(e => e.remove());
          return copy.textContent;
        })()"""
    )
    assert not re.search(r"\\\(|\\\[|\$\$|\\frac|\\mathbf|\\begin\{", text)


@every_document
def test_punctuation_stays_with_the_formula(visit: Visit) -> None:
    loose = visit.js(
        "[...document.querySelectorAll('article span.tex')]"
        ".filter(e => /^[，。；：、]/.test(e.nextSibling?.data || '')).map(e => e.innerText)"
    )
    assert loose == []


@every_document
def test_no_markup_leaks(visit: Visit) -> None:
    text = visit.js(
        """(() => {
          const copy = document.querySelector('article').cloneNode(true);
          copy.querySelectorAll('.katex, pre, code').forEach(e => e.remove());
          return copy.textContent;
        })()"""
    )
    assert not re.search(r"```|\{[a-z:-]+\}`|^:::|\]\(#", text, flags=re.MULTILINE)


@every_document
def test_images_have_alternative_text(visit: Visit) -> None:
    bare = visit.js(
        "[...document.querySelectorAll('article img')]"
        ".filter(i => !i.alt.trim() || i.alt.startsWith('../')).map(i => i.src)"
    )
    assert bare == []
    # 图片确实取到了
    broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
    assert visit.js(broken) == []


@every_document
def test_chinese_lines_have_no_stray_space(visit: Visit) -> None:
    text = visit.js("[...document.querySelectorAll('article p')].map(p => p.textContent).join('¶')")
    assert not re.search(r"[\u4e00-\u9fff，。；：、]\n[\u4e00-\u9fff，。；：、]", text)
