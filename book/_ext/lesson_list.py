"""课程清单：由 ``_toc.yml`` 与各课 front matter 的 ``description`` 推出。"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import yaml
from course_data import DataDirective, chapters
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx


class Lessons(DataDirective):
    """``{lessons}``：课程清单。参数是部分名（如 ``linear``）；不给就按章列出全书。"""

    optional_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"class": directives.class_option}

    def run(self) -> list[nodes.Node]:
        """编号、标题与 front matter 里 ``description`` 的一句话。"""
        self.env.note_dependency(str(Path(self.env.srcdir, "_toc.yml")))
        groups = chapters(self.env)
        if not self.arguments:
            return [self.listing(list(groups), groups)]
        chosen = f"book/{self.arguments[0]}/index"
        if chosen not in groups:
            raise self.fail(f"_toc.yml 里没有 {chosen}。")
        return [self.listing(groups[chosen], {})]

    def listing(self, pages: list[str], groups: dict[str, list[str]]) -> nodes.bullet_list:
        """一层清单；``groups`` 里有下级的再嵌一层。"""
        items = [self.item(page, groups.get(page, [])) for page in pages]
        return nodes.bullet_list("", *items, classes=["lessons", *self.options.get("class", [])])

    def item(self, page: str, below: list[str]) -> nodes.list_item:
        """一项：链接、说明、下级清单。"""
        self.env.note_dependency(self.env.doc2path(page))
        line = nodes.paragraph("", "", self.link(page))
        description = describe(Path(self.env.doc2path(page)))
        if description:
            line += nodes.inline("", description, classes=["lesson-description"])
        item = nodes.list_item("", line)
        if below:
            item += self.listing(below, {})
        return item


def describe(path: Path) -> str:
    """一课 front matter 里的 ``description``；没有就是空串。"""
    match = re.match(r"---\n(.*?)\n---\n", path.read_text(encoding="utf-8"), re.DOTALL)
    front = yaml.safe_load(match[1]) if match else None
    return str((front or {}).get("description") or "")


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx 扩展入口。"""
    app.add_directive("lessons", Lessons)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
