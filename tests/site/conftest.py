"""站点测试的公用部分：找到 Chromium，用 http 与 file 两种方式打开建好的网页，记下一切异常。"""

import functools
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from tools.book import ROOT, Book, load_book

HTML = ROOT / "_build" / "html"
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
BOOK = load_book()
DOCNAMES = [page.docname for page in BOOK.pages]
LESSONS = [page.docname for page in BOOK.lessons]
# 除了目录里的页，还有站点根、搜索与索引
ALL_PAGES = ["index", *DOCNAMES, "search", "genindex"]


def find_chromium() -> str:
    """Chromium 的路径：先看环境变量 CHROMIUM，再看 PATH。"""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.exit(
            "站点测试需要 Chromium，没有找到：Debian/Ubuntu 请运行 apt-get install chromium；"
            "别的系统请把环境变量 CHROMIUM 设为 Chrome 或 Chromium 的路径。",
            returncode=1,
        )
    return path


class QuietHandler(SimpleHTTPRequestHandler):
    """不打印访问记录的静态文件服务。"""

    def log_message(self, format: str, *args: Any) -> None:
        """不打印。"""


@dataclass
class Visit:
    """打开着的一页，以及打开以来的异常。"""

    page: Page
    outside: list[str] = field(default_factory=list)  # 发往别的主机的请求
    errors: list[str] = field(default_factory=list)  # 脚本错误、控制台错误、取不到的文件

    def js(self, script: str) -> Any:
        """在页面里求值。"""
        return self.page.evaluate(script)


class Site:
    """建好的站点；``open`` 在一个全新的浏览器会话里打开一页。"""

    def __init__(self, browser: Browser, address: str) -> None:
        self.browser = browser
        self.bases = {"http": address, "file": HTML.as_uri() + "/"}
        self.book: Book = BOOK

    def open(self, name: str, scheme: str = "http", **options: Any) -> Visit:
        """``name`` 如 ``book/index`` 或 ``search.html?q=…``；``options`` 交给浏览器会话。"""
        options.setdefault("viewport", {"width": 1280, "height": 900})
        visit = Visit(self.browser.new_context(**options).new_page())
        self.watch(visit)
        path = name if ".html" in name else f"{name}.html"
        visit.page.goto(self.bases[scheme] + path)
        visit.page.wait_for_load_state("networkidle" if scheme == "http" else "load")
        return visit

    def watch(self, visit: Visit) -> None:
        """记下异常；发往别处的请求一律拦下，免得测试因网络而慢。"""
        host = urlsplit(self.bases["http"]).netloc

        def route(route: Route) -> None:
            url = urlsplit(route.request.url)
            if url.scheme in ("http", "https") and url.netloc != host:
                visit.outside.append(route.request.url)
                route.abort()
            else:
                route.continue_()

        page = visit.page
        page.route("**/*", route)
        page.on("pageerror", lambda error: visit.errors.append(f"脚本错误：{error}"))
        page.on("requestfailed", lambda r: visit.errors.append(f"取不到：{r.url}"))
        page.on(
            "response",
            lambda r: visit.errors.append(f"{r.status}：{r.url}") if r.status >= 400 else None,
        )
        page.on(
            "console",
            lambda m: visit.errors.append(f"控制台：{m.text}") if m.type == "error" else None,
        )


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """整轮测试共用一个浏览器与一个只听 127.0.0.1 的服务。"""
    if not (HTML / "book" / "index.html").exists():
        pytest.exit(f"没有找到 {HTML}，请先运行 make site。", returncode=1)
    handler = functools.partial(QuietHandler, directory=str(HTML))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGS)
        yield Site(browser, f"http://127.0.0.1:{server.server_port}/")
        browser.close()
    server.shutdown()


@pytest.fixture
def visit(site: Site, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """以 http 打开参数所指的页；测试结束时关掉会话。"""
    opened = site.open(request.param)
    yield opened
    opened.page.context.close()


def page_file(docname: str) -> Path:
    """一页的 HTML 文件。"""
    return HTML / f"{docname}.html"
