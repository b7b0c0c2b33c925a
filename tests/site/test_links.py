"""站内链接：每个链接、脚本、样式与图片都指向存在的文件，锚点也都存在。不用浏览器。"""

import functools
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from site_browser import ALL_PAGES, HTML, page_file


class Collector(HTMLParser):
    """收集一页的链接与锚点。"""

    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """记下 href、src 与 id。"""
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.add(value)
            if name == "id" and value:
                self.anchors.append(value)


@functools.cache
def read(path: Path) -> Collector:
    """解析一页，结果留着给别的页查锚点。"""
    collector = Collector()
    collector.feed(path.read_text(encoding="utf-8"))
    return collector


def problem(page: Path, link: str) -> str | None:
    """一个站内链接的毛病；站外的与没毛病的返回 None。"""
    url = urlsplit(link)
    if url.scheme or url.netloc:
        return None
    target = (page.parent / unquote(url.path)).resolve() if url.path else page
    if not target.is_file():
        return f"{link}：没有这个文件"
    if url.fragment and target.suffix == ".html" and url.fragment not in read(target).anchors:
        return f"{link}：没有这个锚点"
    return None


@pytest.mark.parametrize("name", ALL_PAGES)
def test_internal_links_resolve(name: str) -> None:
    page = page_file(name)
    assert page.resolve().is_relative_to(HTML.resolve())
    found = (problem(page, link) for link in sorted(read(page).links))
    assert [text for text in found if text] == []


# 主题与 sphinx-exercise 自己重复的；没有链接指向它们
KNOWN = {"search-input", "exercise-content", "solution-content"}


@pytest.mark.parametrize("name", ALL_PAGES)
def test_anchors_are_unique(name: str) -> None:
    anchors = read(page_file(name)).anchors
    assert {a for a in anchors if anchors.count(a) > 1} - KNOWN == set()
