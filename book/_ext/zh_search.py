"""站内搜索：中文按单字与相邻两字建索引，查询用同一规则，不依赖词典。

Sphinx 自带的中文搜索靠 jieba 分词，浏览器里却不分词，多数术语因此查不到。
同名的 .js 是查询一侧的同一规则；两边必须一起改，``tests/site`` 会在浏览器里核对。
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.search import SearchLanguage

_RUN = re.compile(r"[\u3400-\u9fff]+|[A-Za-z0-9_]+")


def split_words(text: str) -> list[str]:
    """把文本切成索引词：西文整词；中文给出每个字和每两个相邻的字。

    >>> split_words("用 ReLU 求交叉熵")
    ['用', 'ReLU', '求', '交', '叉', '熵', '求交', '交叉', '叉熵']
    """
    words: list[str] = []
    for run in _RUN.findall(text):
        if run[0] < "\u3400":
            words.append(run)
        else:
            words.extend(run)
            words.extend(run[i : i + 2] for i in range(len(run) - 1))
    return words


class BigramSearch(SearchLanguage):
    """Sphinx 的中文搜索语言，替换自带的那一个。

    不取词干：西文多是 ``softmax``、``Conv2d`` 这样的名字，取词干只会让它们变形。
    """

    lang = "zh"
    language_name = "Chinese"
    js_splitter_code = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")

    def split(self, input: str) -> list[str]:
        """Sphinx 建索引时调用。"""
        return split_words(input)


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx 扩展入口。"""
    app.add_search_language(BigramSearch)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
