"""每条指令在普通 Markdown 里的样子；末尾的 ``DIRECTIVES`` 就是课文能用的全部指令。"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tools.references import ADMONITIONS
from tools.roles import image_url
from tools.syntax import Directive, Place, parse

if TYPE_CHECKING:
    from tools.plain_markdown import Converter

# 与站点（Sphinx 的简体中文翻译）一致的标题
_TITLES = {
    "note": "备注",
    "tip": "小技巧",
    "important": "重要",
    "warning": "警告",
    "hint": "提示",
}
_OUTER_ENVIRONMENTS = re.compile(r"\\begin\{(align|equation|gather|multline|eqnarray)\*?\}")
_LIST_TABLE_TOKENS = frozenset(
    ["bullet_list_open", "bullet_list_close", "paragraph_open", "paragraph_close"]
)


def _admonition(c: Converter, directive: Directive) -> str:
    if directive.name == "admonition":
        title = c.inline(directive.argument, directive.at)
        if not title:
            raise directive.error("要有标题，例如 {admonition} 直觉。")
    else:
        title = _TITLES[directive.name]
        if directive.argument:
            raise directive.error("正文从下一行写起；要自拟标题请用 {admonition} 标题。")
    content = c.convert(directive.body, directive.body_at)
    if "dropdown" in directive.options.get("class", "").split():
        return _details(title, content)
    return _quote(f"**{title}**\n\n{content}")


def _dropdown(c: Converter, directive: Directive) -> str:
    title = c.inline(directive.argument, directive.at)
    return _details(title or "展开", c.convert(directive.body, directive.body_at))


def _math_directive(c: Converter, directive: Directive) -> str:
    body = "\n".join(filter(None, [directive.argument, directive.body]))
    return math_block(c, body, directive.options.get("label"), directive.at)


def math_block(c: Converter, body: str, label: str | None, at: Place) -> str:
    """``$$ … $$``；有标签的带上编号。"""
    body = body.strip("\n")
    if _OUTER_ENVIRONMENTS.search(body):
        raise at.error("公式里用 aligned、gathered，不用 align、equation 等自带编号的环境。")
    if re.search(r"\n[ \t]*\n", body):
        raise at.error("公式里不要有空行：笔记本会把它断成两段。")
    if r"\\" in body and r"\begin{" not in body:
        body = f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"  # 站点也会这样补上
    tag = f" \\tag{{{c.number(at)}}}" if label else ""
    return f"$$\n{body}{tag}\n$$"


def _figure(c: Converter, directive: Directive) -> str:
    alt, width = directive.options.get("alt", ""), directive.options.get("width", "")
    if not alt or not directive.body:
        raise directive.error("要有 :alt:（给读屏的人）和图题。")
    url = image_url(c, directive.argument, directive.at)
    image = f"![{alt}]({url})"
    if width:  # Markdown 的图片没有宽度，只能用 HTML
        image = f'<img src="{url}" alt="{_attribute(alt)}" width="{width.removesuffix("px")}">'
    caption = c.caption("图", directive.at, directive.body, directive.body_at)
    return f"{image}\n\n{caption}"


def _table(c: Converter, directive: Directive) -> str:
    body = c.convert(directive.body, directive.body_at)
    return _with_caption(c, directive, body)


def _list_table(c: Converter, directive: Directive) -> str:
    rows = list(_list_rows(c, directive))
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise directive.error("每行（* -）的格数（-）应相同。")
    headers = directive.options.get("header-rows", "0")
    if headers not in {"0", "1"}:
        raise directive.error(f":header-rows: 是 {headers}，普通 Markdown 的表只能有 0 或 1。")
    if headers == "0":
        rows.insert(0, [""] * len(rows[0]))
    rows.insert(1, ["---"] * len(rows[0]))
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return _with_caption(c, directive, table)


def _list_rows(c: Converter, directive: Directive) -> Iterator[list[str]]:
    """``* - 甲`` 这样的两层列表：外层一项是一行，内层一项是一格。"""
    row: list[str] = []
    depth = 0
    for token in parse(directive.body, c.book.extensions):
        at = directive.body_at.down(token.map[0]) if token.map else directive.at
        if token.type == "list_item_open":
            depth += 1
            if depth == 2:
                row.append("")
        elif token.type == "list_item_close":
            depth -= 1
            if depth == 0:
                yield row
                row = []
        elif token.type == "inline":
            if depth != 2 or row[-1]:
                raise at.error("{list-table} 的每一格只能是一段文字。")
            row[-1] = _table_cell(c.inline(token.content, at))
        elif token.type not in _LIST_TABLE_TOKENS:
            raise at.error("{list-table} 里只能是 * - 两层列表，每格一段文字。")


def _with_caption(c: Converter, directive: Directive, table: str) -> str:
    if not directive.argument:
        if "name" in directive.options:
            raise directive.error("有 :name: 的表要有标题，写在指令名后面。")
        return table
    caption = c.caption("表", directive.at, directive.argument, directive.at)
    return f"{caption}\n\n{table}"


def _exercise(c: Converter, directive: Directive) -> str:
    label = directive.options.get("label")
    if not label:
        raise directive.error("要有 :label:，解答靠它对应。")
    c.exercises[label] = directive.at
    title = c.inline(directive.argument, directive.at)
    heading = c.index.targets[label].numbered_name + (f"（{title}）" if title else "")
    return f"**{heading}**\n\n{c.convert(directive.body, directive.body_at)}"


def _solution_title(c: Converter, directive: Directive) -> str:
    target = c.index.targets.get(directive.argument)
    if target is None or target.kind != "exercise":
        raise directive.error(f"没有标签为 {directive.argument!r} 的练习。")
    if target.label not in c.exercises:
        raise directive.error(f"练习 {target.label} 不在前面：解答应在本课里、练习之后。")
    c.solved.add(target.label)
    return f"{target.numbered_name} 的解答"


def _solution(c: Converter, directive: Directive) -> str:
    title = _solution_title(c, directive)
    return _details(title, c.convert(directive.body, directive.body_at))


def _solution_start(c: Converter, directive: Directive) -> str:
    if c.open_solution:
        line = c.open_solution.at.line
        raise directive.error(f"第 {line} 行的解答还没有 {{solution-end}}。")
    c.open_solution = directive
    heading = f"**{_solution_title(c, directive)}**"
    body = c.convert(directive.body, directive.body_at)
    return f"{heading}\n\n{body}" if body else heading


def _solution_end(c: Converter, directive: Directive) -> str:
    if not c.open_solution:
        raise directive.error("前面没有 {solution-start}。")
    c.open_solution = None
    return "---"


def _errata(c: Converter, directive: Directive) -> str:
    entry = c.errata.get(directive.argument)
    if entry is None:
        raise directive.error(f"book/_data/errata.yml 里没有 id {directive.argument!r}。")
    at = Place(Path("book/_data/errata.yml"), 1)
    lesson = entry.get("lesson")
    if lesson and lesson != c.page.name:
        raise directive.error(f"这条勘误在 errata.yml 里写明属于 {lesson}，不在本课。")
    parts = [f"**勘误：笔记 {entry['note']} · {c.inline(str(entry['place']), at)}**"]
    for name, key in (("原文", "quote"), ("为什么不对", "why"), ("正确的说法", "right")):
        parts.append(f"**{name}**：{c.convert(str(entry[key]).strip(), at)}")
    return _quote("\n\n".join(parts))


def _recipes(c: Converter, directive: Directive) -> str:
    """记录随时会添新的，不抄进笔记本，只指向网页。"""
    url = c.book.page_url(c.page.docname)
    return f"（换许多种子重跑的结果列在[本课的网页]({url})上。）"


def _lab(c: Converter, directive: Directive) -> str:
    """笔记本里不能操作：给出说明，并指向网页。"""
    if not directive.body:
        raise directive.error("互动图要有正文：不能操作时读者看的就是它。")
    url = c.book.page_url(c.page.docname, f"lab-{directive.argument}")
    body = c.convert(directive.body, directive.body_at)
    return f"{body}\n\n（可以操作的互动图在[本课的网页]({url})上。）"


def _quote(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def _details(title: str, body: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


def _table_cell(text: str) -> str:
    """竖线在表格里是分隔符：公式里换成 ``\\vert``，别处转义。"""
    text = re.sub(
        r"\$[^$]+\$", lambda m: m[0].replace(r"\|", r"\Vert ").replace("|", r"\vert "), text
    )
    return re.sub(r"(?<!\\)\|", r"\\|", text).replace("\n", " ")


# 名字 → （能用的选项，转换函数）
Handler = Callable[["Converter", Directive], str]
DIRECTIVES: dict[str, tuple[tuple[str, ...], Handler]] = {
    **dict.fromkeys(ADMONITIONS, (("class",), _admonition)),
    "dropdown": (("class", "open", "icon", "color"), _dropdown),
    "math": (("label",), _math_directive),
    "figure": (("name", "alt", "width", "align", "class"), _figure),
    "table": (("name", "align", "class", "widths"), _table),
    "list-table": (("header-rows", "name", "align", "class", "widths"), _list_table),
    "exercise": (("label", "class"), _exercise),
    "solution": (("class", "label"), _solution),
    "solution-start": (("class", "label"), _solution_start),
    "solution-end": ((), _solution_end),
    "errata": ((), _errata),
    "recipes": ((), _recipes),
    "lab": (("preset",), _lab),
}
