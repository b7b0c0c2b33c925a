"""站点测试共用的浏览器与本机服务。"""

import functools
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest
from playwright.sync_api import sync_playwright
from site_browser import ARGS, HTML, QuietHandler, Site, Visit, find_chromium


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
def visit(site: Site, request: pytest.FixtureRequest) -> Visit:
    """参数所指的页，只读。"""
    return site.look(request.param)
