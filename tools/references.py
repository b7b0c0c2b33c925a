"""全书的标签：谁有编号、编号是几、标题是什么、在站点的哪里。

编号规则与 Sphinx（``numfig``、``math_numfig``、``numfig_secnum_depth: 2``）相同：
图、表、公式、练习各自在一课之内按出现顺序数，前面加上课的编号。
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import nbformat
from markdown_it.token import Token
from myst_nb.core.read import read_myst_markdown_notebook

from tools.book import Book, BookError, Page
from tools.syntax import LABEL, Directive, Place, md_config, parse, read_directive

# 正文里还可以再有指令的指令；图、公式等不在此列
ADMONITIONS = ("admonition", "note", "tip", "important", "warning", "hint")
CONTAINERS = (*ADMONITIONS, "dropdown", "exercise", "solution", "solution-start", "figure")
KIND_NAMES = {"figure": "图", "table": "表", "exercise": "练习"}


@dataclass(frozen=True)
class Target:
    """一个标签指向的东西。``title`` 是章节标题或图表标题的 MyST 原文。"""

    kind: str  # section、figure、table、equation、exercise
    label: str
    docname: str
    number: str
    title: str
    anchor: str
    at: Place

    @property
    def numbered_name(self) -> str:
        """``图 2.1.1``、``练习 2.1.2``；公式是 ``(2.1.3)``。"""
        if self.kind == "equation":
            return f"({self.number})"
        return f"{KIND_NAMES[self.kind]} {self.number}"


@dataclass
class Index:
    """全书的标签与各页的标题。``numbers`` 以（文件, 行）为键，供没有标签的图表查自己的号。"""

    targets: dict[str, Target] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    numbers: dict[Place, str] = field(default_factory=dict)


def read_cells(book: Book, page: Page) -> nbformat.NotebookNode:
    """用站点自己的读法把 .md 切成单元；``metadata.source_map`` 是各单元的起始行（从 0 起）。"""
    text = page.source.read_text(encoding="utf-8")
    try:
        return read_myst_markdown_notebook(
            text, config=md_config(book.extensions), add_source_map=True, path=page.source
        )
    except Exception as error:
        # 读法内部的异常类型五花八门（YAML、选项、文件），统一成带文件名的一句话
        raise BookError(f"{page.source}: 读不成笔记本：{error}") from error


def placed_cells(book: Book, page: Page) -> Iterator[tuple[nbformat.NotebookNode, Place]]:
    """各单元与它们的位置。普通页没有代码单元，整页当一个 Markdown 单元。"""
    relative = page.source.relative_to(book.root)
    if not page.is_lesson:
        text = page.source.read_text(encoding="utf-8")
        yield nbformat.v4.new_markdown_cell(text), Place(relative, 1)
        return
    notebook = read_cells(book, page)
    lines = page.source.read_text(encoding="utf-8").splitlines()
    for cell, start in zip(notebook.cells, notebook.metadata["source_map"], strict=True):
        if cell.cell_type == "markdown":
            while start < len(lines) and not lines[start].strip():
                start += 1  # 读法去掉了单元开头的空行
        yield cell, Place(relative, start + 1)


def build_index(book: Book) -> Index:
    """扫一遍全书；同一个标签出现两次就报错。"""
    index = Index()
    for page in book.pages:
        _Scanner(book, page, index).scan()
        if page.docname not in index.titles:
            raise BookError(f"{page.source}: 没有一级标题（# …）。")
    return index


class _Scanner:
    """按文档顺序走一页，给图、表、公式、练习编号。"""

    def __init__(self, book: Book, page: Page, index: Index) -> None:
        self.book, self.page, self.index = book, page, index
        self.counts: Counter[str] = Counter()

    def scan(self) -> None:
        for cell, at in placed_cells(self.book, self.page):
            if cell.cell_type == "markdown":
                self.scan_text(cell.source, at)
            elif figure := code_figure(cell):
                self.count("figure", figure.get("name", ""), figure.get("caption", ""), at)

    def scan_text(self, text: str, at: Place) -> None:
        tokens = parse(text, self.book.extensions)
        pending: list[str] = []
        for i, token in enumerate(tokens):
            here = at.down(token.map[0]) if token.map else at
            if token.type == "myst_target":
                pending.append(token.content)
            elif token.type == "heading_open":
                self.heading(tokens[i + 1], token, pending, here)
                pending = []
            elif token.type == "math_block_label":
                self.count("equation", token.info, "", here)
            elif token.type in {"fence", "colon_fence"} and token.info.strip().startswith("{"):
                directive = read_directive(token, here)
                if directive:
                    self.directive(directive)

    def heading(self, inline: Token, opening: Token, labels: list[str], at: Place) -> None:
        if opening.tag == "h1":
            self.index.titles.setdefault(self.page.docname, inline.content)
        for label in labels:
            self.add("section", label, "", inline.content, at)

    def directive(self, directive: Directive) -> None:
        name, options, at = directive.name, directive.options, directive.at
        if name == "math" and "label" in options:
            self.count("equation", options["label"], "", at)
        elif name == "figure":
            self.count("figure", options.get("name", ""), directive.body, at)
        elif name in {"table", "list-table"}:
            self.count("table", options.get("name", ""), directive.argument, at)
        elif name == "exercise":
            self.count("exercise", options.get("label", ""), directive.argument, at)
        if name in CONTAINERS:
            self.scan_text(directive.body, directive.body_at)

    def count(self, kind: str, label: str, title: str, at: Place) -> None:
        if not label and not title:
            return  # Sphinx 也不给既无名字又无标题的图表编号
        self.counts[kind] += 1
        prefix = f"{self.page.number}." if self.page.number else ""
        number = f"{prefix}{self.counts[kind]}"
        self.index.numbers[at] = number
        if label:
            self.add(kind, label, number, title, at)

    def add(self, kind: str, label: str, title_number: str, title: str, at: Place) -> None:
        if not LABEL.fullmatch(label):
            raise at.error(f"标签 {label!r} 只能用小写字母、数字和连字符，例如 fig-softmax。")
        if label in self.index.targets:
            other = self.index.targets[label].at
            raise at.error(f"标签 {label} 在 {other.file}:{other.line} 已经用过。")
        anchor = f"equation-{label}" if kind == "equation" else label
        docname = self.page.docname
        self.index.targets[label] = Target(kind, label, docname, title_number, title, anchor, at)


def code_figure(cell: nbformat.NotebookNode) -> dict[str, Any]:
    """代码单元的 ``mystnb.figure`` 设置；没有就是空字典。"""
    if cell.cell_type != "code":
        return {}
    figure = cell.metadata.get("mystnb", {}).get("figure") or {}
    return dict(figure)


def plain_title(title: str) -> str:
    """标题里去掉行内标签（角色等）后的文字，用作链接文字。"""
    return re.sub(r"\{[\w:-]+\}`([^`<]*?)(?:\s*<[^`]*>)?`", r"\1", title).strip()
