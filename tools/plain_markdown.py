"""MyST → Colab、Jupyter、GitHub 都能显示的普通 Markdown。

做法：用站点自己的解析器切出记号，只改写 MyST 专有的那些行与行内片段，其余原文一字不动。
词汇表是这里的两组记号、``directives.DIRECTIVES`` 与 ``roles`` 里的角色；
遇到不认识的指令、角色、选项或引用，报 ``文件:行: …``，而不是把看不懂的标记漏给读者。
"""

import re
from collections.abc import Iterator
from typing import Any

from markdown_it.token import Token

from tools.book import Book, Page
from tools.directives import DIRECTIVES, math_block
from tools.references import Index, code_figure
from tools.roles import Edit, image_url, link_edits, role_text
from tools.sources import Citation
from tools.syntax import Directive, Place, check_closed, parse, read_directive

_BLOCKS = frozenset((
    "paragraph", "heading", "bullet_list", "ordered_list", "list_item", "blockquote", "table",
    "thead", "tbody", "tr", "th", "td", "hr", "code_block", "fence", "colon_fence",
    "math_block", "math_block_label", "myst_target", "myst_line_comment", "inline",
    "front_matter",
))  # fmt: skip
_INLINES = frozenset((
    "text", "text_special", "softbreak", "hardbreak", "em", "strong", "code_inline", "link",
    "image", "math_inline", "myst_role",
))  # fmt: skip
_SYNTAX_NAMES = {
    "html_block": "HTML",
    "html_inline": "HTML",
    "amsmath": "裸的 LaTeX 环境（请放进 {math} 或 $$ … $$）",
    "footnote_ref": "脚注",
    "footnote_reference": "脚注",
    "dl": "定义列表",
    "substitution_inline": "{{ 替换 }}",
    "substitution_block": "{{ 替换 }}",
    "math_inline_double": "行内的 $$ … $$（独立的公式要另起一行，行内用一个 $）",
    "s": "删除线",
    "span": "[文字]{属性}",
    "myst_block_break": "+++ 分格（嵌在别的块里）",
}


class Converter:
    """一课的转换器。先 :meth:`convert` 各 Markdown 单元，最后 :meth:`finish`。"""

    def __init__(
        self,
        book: Book,
        page: Page,
        index: Index,
        citations: dict[str, Citation],
        errata: dict[str, dict[str, Any]],
    ) -> None:
        self.book, self.page, self.index = book, page, index
        self.citations, self.errata = citations, errata
        self.open_solution: Directive | None = None
        self.exercises: dict[str, Place] = {}
        self.solved: set[str] = set()

    # ---- 入口 ---------------------------------------------------------------

    def convert(self, text: str, at: Place) -> str:
        """一段 MyST（从 ``at`` 开始）变成普通 Markdown。"""
        lines = text.split("\n")
        replacements: list[tuple[int, int, str | None]] = []
        edits: dict[int, list[Edit]] = {}
        cursors: dict[int, int] = {}
        tokens = parse(text, self.book.extensions)
        for i, token in enumerate(tokens):
            here = at.down(token.map[0]) if token.map else at
            self._check_known(token, _BLOCKS, here)
            if token.type == "inline":
                self._edit_inline(token, lines, here, edits, cursors)
            elif token.type == "myst_target":
                self._check_before_heading(tokens[i + 1 :], here)
            if (new := self._block(token, lines, here)) is not _KEEP:
                assert token.map is not None
                start, end = token.map
                replacements.append((start, end, new))
        for number, changes in edits.items():
            lines[number] = _apply(lines[number], changes)
        for start, end, new in reversed(replacements):
            _replace_block(lines, start, end, new)
        return "\n".join(lines).strip("\n")

    def finish(self) -> None:
        """全课转换之后：解答都收了尾，练习都有解答。"""
        if self.open_solution:
            raise self.open_solution.error("没有对应的 {solution-end}。")
        for label, at in self.exercises.items():
            if label not in self.solved:
                raise at.error(f"练习 {label} 没有解答：补一个 {{solution}} {label}。")

    def figure_caption(self, cell: Any, at: Place) -> str | None:
        """代码单元画的图的编号与标题（站点显示在图下，笔记本里要另起一格）。"""
        figure = code_figure(cell)
        if not figure:
            return None
        caption = str(figure.get("caption") or "")
        if not caption:
            raise at.error("mystnb.figure 要有 caption。")
        return self.caption("图", at, caption, at)

    # ---- 块 -----------------------------------------------------------------

    def _check_known(self, token: Token, known: frozenset[str], at: Place) -> None:
        kind = re.sub(r"_(open|close)$", "", token.type)
        if kind not in known:
            name = _SYNTAX_NAMES.get(kind, kind)
            raise at.error(f"本书的课文不用{name}：转成笔记本后读者会看不懂，请换一种写法。")

    def _block(self, token: Token, lines: list[str], at: Place) -> str | None:
        """块的新文字；``None`` 是删去，``_KEEP`` 是原样保留。"""
        if token.type in {"myst_target", "myst_line_comment", "front_matter"}:
            return None
        if token.type == "math_block_label":
            return math_block(self, token.content, token.info, at)
        if token.type in {"fence", "colon_fence"}:
            check_closed(token, lines, at)
            directive = read_directive(token, at)
            if directive and not _starts_block(lines, token):
                raise directive.error("要另起一行，不能与列表符号写在同一行。")
            return self._directive(directive) if directive else _KEEP
        return _KEEP

    def _check_before_heading(self, rest: list[Token], at: Place) -> None:
        following = next((t for t in rest if t.type != "myst_target"), None)
        if following is None or following.type != "heading_open":
            raise at.error("(标签)= 只能紧接在标题前；图和表用 :name:，公式和练习用 :label:。")

    def _directive(self, directive: Directive) -> str:
        handler = DIRECTIVES.get(directive.name)
        if handler is None:
            known = " ".join(f"{{{name}}}" for name in DIRECTIVES)
            raise directive.error(f"不认识这条指令；课文能用的是 {known}。")
        allowed, function = handler
        for option in directive.options:
            if option not in allowed:
                names = " ".join(f":{name}:" for name in allowed) or "（没有）"
                raise directive.error(f"不认识选项 :{option}:；能用的是 {names}。")
        return function(self, directive)

    def caption(self, kind: str, key: Place, text: str, at: Place) -> str:
        """图题、表题；``key`` 是图表在课文里的位置。"""
        return f"**{kind} {self.number(key)}**　{self.convert(text, at)}"

    def number(self, key: Place) -> str:
        """开头在 ``key`` 处的图、表、公式的编号。"""
        number = self.index.numbers.get(key)
        if number is None:
            raise key.error("带编号的图、表、公式不能放在这里（表格、勘误条目之内）。")
        return number

    # ---- 行内 ---------------------------------------------------------------

    def inline(self, text: str, at: Place) -> str:
        """一行行内文字（指令的标题、表格的一格）。"""
        tokens = parse(text, self.book.extensions)
        if not text:
            return ""
        if [t.type for t in tokens] != ["paragraph_open", "inline", "paragraph_close"]:
            raise at.error(f"这里只能是一段行内文字：{text}")
        return self.convert(text, at)

    def _edit_inline(
        self,
        token: Token,
        lines: list[str],
        at: Place,
        edits: dict[int, list[Edit]],
        cursors: dict[int, int],
    ) -> None:
        """把行内记号的改写折算成原文各行的列号，存进 ``edits``。"""
        changes = list(self._inline_edits(token, at))
        assert token.map is not None
        offset = 0
        for k, content in enumerate(token.content.split("\n")):
            number = token.map[0] + k
            column = lines[number].find(content, cursors.get(number, 0))
            inside = [c for c in changes if offset <= c[0] and c[1] <= offset + len(content)]
            if column >= 0:
                cursors[number] = column + len(content)
                for start, end, new in inside:
                    edit = (column + start - offset, column + end - offset, new)
                    edits.setdefault(number, []).append(edit)
            elif inside:
                raise at.down(k).error("这一行的角色或链接转换不了（多半是表格里的 \\|），请改写。")
            changes = [c for c in changes if c not in inside]
            offset += len(content) + 1
        if changes:
            raise at.error("角色与链接的地址不能跨行，请写在同一行。")

    def _inline_edits(self, token: Token, at: Place) -> Iterator[Edit]:
        for child in token.children or []:
            self._check_known(child, _INLINES, at)
            if child.type == "myst_role":
                yield (*child.meta["span"], role_text(self, child.meta["name"], child.content, at))
            elif child.type == "link_open" and "span" in child.meta:
                yield from link_edits(self, child, token.content, at)
            elif child.type == "image":
                start, end = child.meta["span"]
                url = image_url(self, str(child.attrs["src"]), at)
                yield start, end, f"![{child.content}]({url})"
            elif child.type in {"softbreak", "hardbreak"}:
                at = at.down(1)


_KEEP = "\0keep"  # 不会出现在文本里的记号


def _starts_block(lines: list[str], token: Token) -> bool:
    assert token.map is not None
    return lines[token.map[0]].lstrip(" \t>").startswith(token.markup)


def _apply(line: str, edits: list[Edit]) -> str:
    for start, end, new in sorted(edits, reverse=True):
        line = line[:start] + new + line[end:]
    return line


def _replace_block(lines: list[str], start: int, end: int, new: str | None) -> None:
    """换掉 ``lines[start:end]``，保留列表缩进与引用符号，前后各留一个空行。"""
    if new is None:
        del lines[start:end]
        return
    first = re.match(r"[ \t>]*", lines[start])
    prefix = first[0] if first else ""
    block = [(prefix + line).rstrip() for line in new.split("\n")]
    blank = prefix.rstrip()
    if start > 0 and lines[start - 1].strip(" \t>"):
        block.insert(0, blank)
    if end < len(lines) and lines[end].strip(" \t>"):
        block.append(blank)
    lines[start:end] = block
