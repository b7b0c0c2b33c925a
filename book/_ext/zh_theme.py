"""主题里没有中文的按钮与提示：译文在 ``book/_locale``，建站时编译并交给 Sphinx。"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from docutils import nodes
from sphinx.application import Sphinx

_LOCALE = Path(__file__).parents[1] / "_locale"
_LANGUAGE = "zh_CN"


def add_translations(app: Sphinx) -> None:
    """把每个 .po 编译到 doctree 目录下，再登记为同名的译文。"""
    target = Path(app.doctreedir, "locale")
    folder = target / _LANGUAGE / "LC_MESSAGES"
    folder.mkdir(parents=True, exist_ok=True)
    for po in sorted((_LOCALE / _LANGUAGE).glob("*.po")):
        with po.open("rb") as source, (folder / f"{po.stem}.mo").open("wb") as compiled:
            write_mo(compiled, read_po(source, locale=_LANGUAGE))
        app.add_message_catalog(po.stem, str(target))


def rewrite_issue_link(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    """“报告问题”按钮预填的标题与正文改成中文。"""
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if button.get("label") == "source-issues-button":
                address = button["url"].partition("?")[0]
                title = quote(f"{pagename}：")
                body = quote("哪一段、哪个单元？看到了什么，您认为应是什么？")
                button["url"] = f"{address}?title={title}&body={body}"


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx 扩展入口；在 ``_config.yml`` 里须排在主题之前，这里的译文才优先。"""
    add_translations(app)
    app.connect("html-page-context", rewrite_issue_link, priority=600)  # 在主题（501）之后
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
