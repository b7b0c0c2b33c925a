"""源文件里中文段落折行时，去掉浏览器会显示成空格的那个换行。"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

# 中文字、中文标点与全角符号
_CJK = re.compile(r"[\u3000-\u303f\u3400-\u9fff\uff00-\uffef“”‘’—…·]")


def needs_no_space(before: str, after: str) -> bool:
    """折行前后都是中文（或中文标点）时不该有空格。"""
    return bool(_CJK.match(before[-1:]) and _CJK.match(after[:1]))


def join_lines(app: Sphinx, doctree: nodes.document) -> None:
    """删去中文之间的软换行；MyST 把软换行存成单独的 ``Text("\\n")``。"""
    for parent in doctree.findall(nodes.TextElement):
        # markdown-it 在粗体等标记的前后会留下空的 Text
        kids = parent.children = [kid for kid in parent.children if kid != ""]
        for at in range(len(kids) - 2, 0, -1):
            if kids[at] == "\n" and needs_no_space(kids[at - 1].astext(), kids[at + 1].astext()):
                del kids[at]


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx 扩展入口。"""
    app.connect("doctree-read", join_lines)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
