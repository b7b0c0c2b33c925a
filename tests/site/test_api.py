"""参考页：每个模块、每个公共名字都在，标题是中文，类型与引用连得到，搜索找得到。"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from site_browser import BOOK, DOCNAMES, HTML, PHONE, Site, page_file
from test_reading import search

LIBRARY = BOOK.root / "d2lcore"
PAGES = [name for name in DOCNAMES if name.startswith("book/api/")]
MODULES = {
    ".".join(path.relative_to(BOOK.root).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(LIBRARY.rglob("*.py"))
    if not re.search(r"/_(?!_init__)", path.as_posix().removeprefix(str(BOOK.root)))
    and path != LIBRARY / "__init__.py"
}


@cache
def anchors() -> dict[str, str]:
    """参考页里的各个锚点与它所在的页。"""
    return {
        anchor: name
        for name in PAGES
        for anchor in re.findall(r'id="([^"]+)"', page_file(name).read_text(encoding="utf-8"))
    }


def public_names(path: Path) -> set[str]:
    """模块里定义的公共函数、类与单个赋值的名字；直接读语法树，不靠建站用的那一套。"""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("module", MODULES)
def test_every_module_and_public_name_has_an_anchor(module: str) -> None:
    missing = f"请在 book/api 里加上 ```{{api}} {module}```，再运行 make site"
    assert f"module-{module}" in anchors(), missing
    names = public_names(MODULES[module])
    assert {name for name in names if f"{module}.{name}" not in anchors()} == set()


def test_only_public_modules_have_pages() -> None:
    shown = {a.removeprefix("module-") for a in anchors() if a.startswith("module-")}
    assert shown == set(MODULES)
    assert [a for a in anchors() if re.search(r"^d2lcore\..*\._[a-z]", a)] == []


@pytest.mark.parametrize("name", PAGES)
def test_sections_speak_chinese(name: str) -> None:
    html = page_file(name).read_text(encoding="utf-8")
    article = re.sub(r"<pre.*?</pre>", "", html[html.index("<article") :], flags=re.DOTALL)
    english = r">\s*(Parameters|Args|Arguments|Returns|Raises|Examples?|Yields|Notes?|Attributes)\b"
    assert re.findall(english, article) == []
    # 中文没有斜体：有就是文档字符串里的 * 被当成了记号
    text = re.sub(r"<dt class=\"sig.*?</dt>", "", article, flags=re.DOTALL)
    assert re.findall(r"<em>.*?</em>", text) == []
    assert re.findall(r":(?:func|class|meth|data):|>>>", re.sub(r"<[^>]+>", "", text)) == []


def test_fields_examples_and_source_link_of_one_function() -> None:
    html = page_file(anchors()["d2lcore.metrics.confusion_matrix"]).read_text(encoding="utf-8")
    start = html.index('id="d2lcore.metrics.confusion_matrix"')
    entry = html[start : html.index("</section>", start)]
    text = re.sub(r"<[^>]+>", "", entry)
    assert re.search(r"confusion_matrix\(\s*predictions: Tensor,\s*labels: Tensor,", text)
    assert [w for w in ("参数", "返回", "异常", "示例") if f"<dt>{w}</dt>" not in entry] == []
    assert "&gt;&gt;&gt;" in entry
    source = re.search(rf'href="{BOOK.repository}/blob/{BOOK.branch}/([^#]+)#L(\d+)-L(\d+)"', entry)
    assert source
    lines = (BOOK.root / source[1]).read_text(encoding="utf-8").splitlines()
    assert lines[int(source[2]) - 1].startswith("def confusion_matrix(")


def test_own_types_are_links_and_others_are_not() -> None:
    html = page_file(anchors()["d2lcore.data.Batches"]).read_text(encoding="utf-8")
    start = html.index('id="d2lcore.data.Batches"')
    entry = html[start : html.index("</dt>", start)]
    assert 'href="#d2lcore.data.ImageData"' in entry
    assert not re.search(r"<a[^>]*>(<[^>]+>)*(Tensor|torch\.device|int|str)<", entry)


def test_index_lists_modules_and_names_of_the_package() -> None:
    html = (HTML / "book" / "api" / "index.html").read_text(encoding="utf-8")
    for module in MODULES:
        assert re.search(rf'href="[\w/.]+#module-{re.escape(module)}"', html), module
    tree = ast.parse((LIBRARY / "__init__.py").read_text(encoding="utf-8"))
    imported = {
        a.asname or a.name for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names
    }
    linked = set(re.findall(r'href="[\w/.]+#d2lcore[\w.]*\.(\w+)"', html))
    assert imported - linked - {Path(p).stem for p in MODULES.values()} == set()


@pytest.mark.parametrize("query", ["fit", "confusion_matrix", "混淆矩阵"])
def test_search_finds_names_and_words(site: Site, query: str) -> None:
    with site.open(f"search.html?q={query}") as visit:
        visit.page.locator("#search-results ul.search > li > a").first.wait_for()
        found = visit.js(
            "[...document.querySelectorAll('#search-results ul.search > li > a')].map(a => a.href)"
        )
    assert [href for href in found if "/book/api/" in href]


def test_search_leads_to_the_definition(site: Site) -> None:
    titles, troubles = search(site, "fit", "file")
    assert any(re.search(r"\bfit$", title) for title in titles)
    assert troubles == []


def test_long_signature_stays_on_the_phone(site: Site) -> None:
    page = anchors()["d2lcore.training.fit"]
    with site.open(page, session="phone", **PHONE) as visit:
        wide = visit.js(
            "[...document.querySelectorAll('dt.sig, dt.sig *')]"
            ".filter(e => e.getBoundingClientRect().right > 391).map(e => e.textContent)"
        )
        lines = visit.js(
            "document.getElementById('d2lcore.training.fit').querySelectorAll('dd').length"
        )
    assert wide == []
    assert lines > 5, "长签名应一个参数一行"
