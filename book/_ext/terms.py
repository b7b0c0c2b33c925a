"""术语表：出自 ``terms.yml``。

每条的字段：zh、en、meaning，可选 torch（PyTorch 里的名字）、aliases（其他常见译名）、
avoid（本书不用的写法）。
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from course_data import DataDirective, Record, load_list
from docutils import nodes
from sphinx.application import Sphinx

KEYS = ("zh", "en", "meaning")


class Terms(DataDirective):
    """``{terms}``：术语表；``{term}`` 角色可以引用中文名与各个别名。"""

    def run(self) -> list[nodes.Node]:
        """按中文名的登记顺序排列的定义表。"""
        items = load_list(self.source("terms.yml"), KEYS, "zh")
        names = Counter(name for item in items for name in self.names(item))
        self.ambiguous = {name for name, times in names.items() if times > 1}
        return [nodes.definition_list("", *map(self.entry, items), classes=["terms"])]

    def entry(self, item: Record) -> nodes.definition_list_item:
        """一条术语；锚点取自英文名，如 ``term-cross-entropy``。"""
        anchor = nodes.make_id(f"term-{item['en']}")
        if anchor in self.state.document.ids:
            raise self.fail(f"术语 {item['zh']}：英文名 {item['en']} 与前面某条相同。")
        term = nodes.term("", item["zh"], ids=[anchor])
        if item["en"] != item["zh"]:
            term += nodes.inline("", f" {item['en']}", classes=["term-en"])
        self.state.document.note_explicit_target(term)
        for name in self.names(item):
            if name == item["zh"] or name not in self.ambiguous:
                self.env.get_domain("std")._note_term(name, anchor, location=term)  # type: ignore[attr-defined]
        meaning = nodes.definition("", *self.parse(item["meaning"]))
        meaning += list(self.other_names(item))
        return nodes.definition_list_item("", term, meaning)

    @staticmethod
    def names(item: Record) -> list[str]:
        """中文名与各个别名。一个别名可以属于几条（如“步长”），那样 ``{term}`` 就不能用它。"""
        return [item["zh"], *(item.get("aliases") or [])]

    def other_names(self, item: Record) -> Iterator[nodes.paragraph]:
        """PyTorch 名与其他译名，搜索时也能查到。"""
        if item.get("torch"):
            yield nodes.paragraph("", "PyTorch：", nodes.literal("", item["torch"]))
        for label, key in [("也作：", "aliases"), ("别处的译名（本书不用）：", "avoid")]:
            if item.get(key):
                yield nodes.paragraph("", label + "、".join(item[key]), classes=["term-names"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx 扩展入口。"""
    app.add_directive("terms", Terms)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
