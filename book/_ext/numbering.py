"""章、节编号只到两级：一课之内的小标题不编号，图、表、公式、练习仍编成“章.节.序号”。

在 ``_toc.yml`` 里写 ``numbered: 2`` 达不到这个效果：那样小标题之下的图会失去“章.节”。
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.builders import Builder

LEVELS = 2


def hide_deep_numbers(app: Sphinx, builder: Builder) -> None:
    """图表编号都已算好，写网页之前去掉第三级起的标题编号。"""
    for numbers in app.env.toc_secnumbers.values():
        for anchor, number in numbers.items():
            if number and len(number) > LEVELS:
                numbers[anchor] = None  # type: ignore[assignment]
    for toc in app.env.tocs.values():
        for link in toc.findall(nodes.reference):
            if len(link.get("secnumber") or ()) > LEVELS:
                link["secnumber"] = None


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx 扩展入口。"""
    app.connect("write-started", hide_deep_numbers)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
