"""每页的简介：取 front matter 的 ``description``，供搜索引擎与转发时的卡片使用。"""

from __future__ import annotations

from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def add_description(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    """写入 ``description`` 与 Open Graph 的几项；没有 ``description`` 的页面不写。"""
    description = str(app.env.metadata.get(pagename, {}).get("description", ""))
    if not description:
        return
    tags = {
        "og:type": "article",
        "og:site_name": app.config.html_title,
        "og:title": app.env.titles[pagename].astext(),
        "og:description": description,
        "og:url": context.get("pageurl") or "",
    }
    lines = [f'<meta name="description" content="{escape(description)}" />']
    lines += [f'<meta property="{name}" content="{escape(text)}" />' for name, text in tags.items()]
    context["metatags"] = "\n".join([context.get("metatags", ""), *lines, ""])


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx 扩展入口。"""
    app.connect("html-page-context", add_description)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
