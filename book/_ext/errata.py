"""勘误：课文里的框与全部勘误的清单，都出自 ``errata.yml``。

每条的字段：id、note（笔记编号）、place、quote、why、right、topic，以及 lesson（哪一课里有它的框，
如 ``linear/softmax-scratch``；还没有对应的课就不写）。quote、why、right 可含公式与代码。
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from course_data import DATA, DataDirective, Record, lessons, load_list
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import SphinxError

KEYS = ("id", "note", "place", "quote", "why", "right", "topic")


def field(name: str, content: list[nodes.Node]) -> nodes.field:
    """“名称：内容”一栏。"""
    return nodes.field("", nodes.field_name("", name), nodes.field_body("", *content))


class ErratumBox(DataDirective):
    """勘误框共用的正文。"""

    def body(self, item: Record) -> nodes.field_list:
        """原文、为什么不对、正确的说法三栏。"""
        rows = [("原文", "quote"), ("为什么不对", "why"), ("正确的说法", "right")]
        return nodes.field_list("", *(field(name, self.parse(item[key])) for name, key in rows))


class Errata(ErratumBox):
    """``{errata} id``：课文里的勘误框，内容取自 ``errata.yml``。"""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """一个带锚点 ``errata-<id>`` 的框。"""
        name = self.arguments[0]
        path = self.source("errata.yml")
        found = [item for item in load_list(path, KEYS, "id") if item["id"] == name]
        if not found:
            raise self.fail(f"{path} 里没有 id 为 {name} 的勘误。")
        item = found[0]
        if item.get("lesson") and self.env.docname != f"book/{item['lesson']}":
            raise self.fail(f"勘误 {name} 写明属于 {item['lesson']}，不在本课。")
        self.env.metadata[self.env.docname].setdefault("errata", []).append(name)
        box = nodes.admonition("", ids=[f"errata-{name}"], classes=["errata"])
        box += nodes.title("", f"勘误：笔记 {item['note']} · ", *self.inline(item["place"]))
        box += self.body(item)
        return [box]


class ErrataList(ErratumBox):
    """``{errata-list}``：全部勘误，按笔记分组，各条连回课文里的框。"""

    def run(self) -> list[nodes.Node]:
        """每本笔记一节；没有勘误时给一句话。"""
        path = self.source("errata.yml")
        items = load_list(path, KEYS, "id")
        for item in items:
            if item.get("lesson") and f"book/{item['lesson']}" not in lessons(self.env):
                raise SphinxError(f"{path}：勘误 {item['id']} 的 {item['lesson']} 不在 _toc.yml。")
        notes = sorted({str(item["note"]) for item in items})
        groups = [self.group(note, [i for i in items if str(i["note"]) == note]) for note in notes]
        return groups or [nodes.paragraph("", "目前没有勘误。")]

    def group(self, note: str, items: list[Record]) -> nodes.section:
        """一本笔记的各条勘误。"""
        section = nodes.section("", nodes.title("", f"笔记 {note}"), ids=[f"note-{note}"])
        for item in items:
            section += self.entry(item)
        return section

    def entry(self, item: Record) -> nodes.admonition:
        """一条：位置、三栏、所在的课。"""
        box = nodes.admonition("", classes=["errata"], ids=[f"list-{item['id']}"])
        box += nodes.title("", "", *self.inline(f"{item['place']}（{item['topic']}）"))
        body = self.body(item)
        if item.get("lesson"):
            link = self.link(f"book/{item['lesson']}", f"errata-{item['id']}")
            body += field("见", [nodes.paragraph("", "", link)])
        box += body
        return box


def check_boxes(app: Sphinx, env: BuildEnvironment) -> None:
    """写明所在课的勘误，那一课里必须真有它的框（清单要连到那里）。"""
    path = Path(env.srcdir, DATA, "errata.yml")
    if not path.exists():
        return
    missing = [
        f"book/{item['lesson']}.md 里缺少勘误框 ```{{errata}} {item['id']}```。"
        for item in load_list(path, KEYS, "id")
        if item.get("lesson")
        and item["id"] not in env.metadata[f"book/{item['lesson']}"].get("errata", [])
    ]
    if missing:
        raise SphinxError("\n".join(missing))


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx 扩展入口。"""
    app.add_directive("errata", Errata)
    app.add_directive("errata-list", ErrataList)
    app.connect("env-updated", check_boxes)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
