"""由数据推出的内容所共用的部分：读数据、课程顺序、指令基类、跨页链接。

``errata``、``terms``、``run_status``、``lesson_list`` 各有一个指令建立在它之上。
数据在 ``book/_data``，课程顺序在 ``_toc.yml``；数据一变，用到它的页面就会重建；
数据有错，构建就报错并指明哪个文件、哪一条。
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import SphinxError
from sphinx.util.docutils import SphinxDirective

DATA = Path("book", "_data")
Record = dict[str, Any]


class page_link(nodes.Inline, nodes.TextElement):
    """指向另一页（可带锚点）的链接；写网页时才知道对方的编号与标题。"""


# ---- 读数据 ---------------------------------------------------------------------------


def load(path: Path) -> Any:
    """读 YAML 或 JSON；文件缺失或写坏时说清是哪一个。"""
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise SphinxError(f"读不到 {path}：{error.strerror}。") from error
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise SphinxError(f"{path} 的格式有错：{error}") from error


def check_keys(record: object, keys: tuple[str, ...], where: str) -> Record:
    """确认一条记录是字典且必需的字段都有值。"""
    if not isinstance(record, dict):
        raise SphinxError(f"{where} 应是一组“字段: 值”，得到 {record!r}。")
    missing = [key for key in keys if record.get(key) in (None, "")]
    if missing:
        raise SphinxError(f"{where}缺少字段 {'、'.join(missing)}。")
    return record


def load_list(path: Path, keys: tuple[str, ...], name: str) -> list[Record]:
    """读一个列表文件；``name`` 是每条记录的名字所在的字段，不得重复。"""
    records = load(path) or []
    if not isinstance(records, list):
        raise SphinxError(f"{path} 应是一个列表。")
    seen: set[object] = set()
    for number, record in enumerate(records, 1):
        check_keys(record, keys, f"{path} 第 {number} 条")
        if record[name] in seen:
            raise SphinxError(f"{path} 第 {number} 条：{name} {record[name]!r} 重复。")
        seen.add(record[name])
    return records


# ---- 课程顺序 --------------------------------------------------------------------------


def chapters(env: BuildEnvironment) -> dict[str, list[str]]:
    """按 ``_toc.yml`` 的顺序给出 {章首页: [课, …]}，不含附录。"""
    site_map = env.external_site_map  # type: ignore[attr-defined]
    numbered = [tree for tree in site_map.root.subtrees if tree.numbered]
    tops = [str(name) for tree in numbered for name in tree.files()]
    return {top: [str(f) for sub in site_map[top].subtrees for f in sub.files()] for top in tops}


def lessons(env: BuildEnvironment) -> list[str]:
    """全书各课的页面名，按阅读顺序。"""
    return [lesson for group in chapters(env).values() for lesson in group]


# ---- 指令基类 ---------------------------------------------------------------------------


class DataDirective(SphinxDirective):
    """各指令共用：登记依赖、解析文字、造链接、报错。"""

    def source(self, name: str) -> Path:
        """数据文件的路径；同时登记依赖，文件一变本页就重建。"""
        path = Path(self.env.srcdir, DATA, name)
        self.env.note_dependency(str(path))
        return path

    def parse(self, text: str) -> list[nodes.Node]:
        """把一段 Markdown（可含公式与代码）解析成节点。"""
        box = nodes.container()
        self.state.nested_parse(StringList(str(text).splitlines(), ""), 0, box)
        return box.children

    def inline(self, text: str) -> list[nodes.Node]:
        """解析一行 Markdown，供标题使用。"""
        paragraph = self.parse(text)[0]
        assert isinstance(paragraph, nodes.paragraph)
        return paragraph.children

    def link(self, page: str, anchor: str = "", text: str = "") -> page_link:
        """指向 ``page`` 的链接；不给 ``text`` 就用对方的编号与标题。"""
        return page_link("", text, page=page, anchor=anchor)

    def table(
        self, head: tuple[str, ...], rows: list[list[nodes.Node | str]], name: str
    ) -> nodes.table:
        """带表头的表；``name`` 是样式的名字，数字列靠右之类由样式表负责。"""
        group = nodes.tgroup("", cols=len(head))
        group += [nodes.colspec(colwidth=1) for _ in head]
        group += nodes.thead("", _row(list(head)))
        group += nodes.tbody("", *map(_row, rows))
        return nodes.table("", group, classes=[name])

    def fail(self, message: str) -> SphinxError:
        """带上所在文件与行号的错误。"""
        return SphinxError(f"{self.env.doc2path(self.env.docname)}:{self.lineno}: {message}")


def _row(cells: list[nodes.Node | str]) -> nodes.row:
    """表的一行；字符串变成段落。"""
    wrap = [nodes.Text(cell) if isinstance(cell, str) else cell for cell in cells]
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in wrap))


def resolve_links(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """把 ``page_link`` 换成真正的链接；没有文字的用“编号 标题”。"""
    env = app.env
    for link in list(doctree.findall(page_link)):
        page, anchor = link["page"], link["anchor"]
        uri = app.builder.get_relative_uri(docname, page) + (f"#{anchor}" if anchor else "")
        reference = nodes.reference("", "", refuri=uri, internal=True)
        if link.children:
            reference += link.children
        else:
            number = env.toc_secnumbers.get(page, {}).get("") or ()
            if number:
                reference += nodes.Text(".".join(map(str, number)) + " ")
            reference += [child.deepcopy() for child in env.titles[page].children]
        link.replace_self(reference)


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx 扩展入口。"""
    app.add_node(page_link)
    app.connect("doctree-resolved", resolve_links)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
