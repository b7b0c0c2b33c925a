"""站点测试的公用部分：找到 Chromium，用 http 与 file 两种方式打开建好的网页，记下一切异常。"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
)

from tools.book import ROOT, load_book

HTML = ROOT / "_build" / "html"
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # 别的主机一律解析失败：有没有网络，测试都一样快
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 800}}
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
    """建好的站点。"""

    def __init__(self, browser: Browser, address: str) -> None:
        self.browser = browser
        self.bases = {"http": address, "file": HTML.as_uri() + "/"}
        self.looked: dict[str, Visit] = {}
        self.sessions: dict[str, BrowserContext] = {}

    @contextmanager
    def open(
        self, name: str, scheme: str = "http", session: str = "", **options: Any
    ) -> Iterator[Visit]:
        """打开一页，用完即关；``options``（窗口大小、深浅色）交给浏览器。

        会留下痕迹（localStorage）的测试各用一个新会话；其余的写同一个 ``session`` 名，
        共用会话与它的缓存，快得多。
        """
        context = self.sessions.get(session) or self.browser.new_context(**DESKTOP | options)
        if session:
            self.sessions[session] = context
        visit = self._open(name, scheme, context)
        yield visit
        visit.page.close()
        if not session:
            context.close()

    def look(self, name: str) -> Visit:
        """以 http 打开一页只读；各测试共用，不可点击或改动。"""
        if name not in self.looked:
            if "look" not in self.sessions:
                self.sessions["look"] = self.browser.new_context(**DESKTOP)
            context = self.sessions["look"]
            self.looked[name] = self._open(name, "http", context)
        return self.looked[name]

    def _open(self, name: str, scheme: str, context: BrowserContext) -> Visit:
        visit = Visit(context.new_page())
        self.watch(visit)
        visit.page.goto(self.bases[scheme] + (name if ".html" in name else f"{name}.html"))
        if name == "index":  # 站点根只是转到首页
            visit.page.wait_for_url("**/book/index.html")
        visit.js("document.fonts.ready.then(() => true)")
        return visit

    def watch(self, visit: Visit) -> None:
        """记下异常。"""
        host = urlsplit(self.bases["http"]).netloc

        def note_request(request: Request) -> None:
            url = urlsplit(request.url)
            if url.scheme not in ("file", "data", "blob") and url.netloc != host:
                visit.outside.append(request.url)

        def note_response(response: Response) -> None:
            if response.status >= 400:
                visit.errors.append(f"{response.status}：{response.url}")

        def note_console(message: ConsoleMessage) -> None:
            if message.type == "error":
                visit.errors.append(f"控制台：{message.text}")

        page = visit.page
        page.on("request", note_request)
        page.on("response", note_response)
        page.on("console", note_console)
        page.on("requestfailed", lambda request: visit.errors.append(f"取不到：{request.url}"))
        page.on("pageerror", lambda error: visit.errors.append(f"脚本错误：{error}"))


def page_file(docname: str) -> Path:
    """一页的 HTML 文件。"""
    return HTML / f"{docname}.html"
