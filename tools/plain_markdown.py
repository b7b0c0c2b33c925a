"""MyST → Colab、Jupyter、GitHub 都能显示的普通 Markdown。

做法：用站点自己的解析器切出记号，只改写 MyST 专有的那些行与行内片段，其余原文一字不动。
词汇表就是这个文件里列出的这些；遇到不认识的指令、角色、选项或引用，报 ``文件:行: …``，
而不是把看不懂的标记漏给读者。
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from markdown_it.token import Token

from tools.book import Book, Page
from tools.references import ADMONITIONS, Index, Target, code_figure, plain_title
from tools.sources import Citation
from tools.syntax import Directive, Place, check_closed, parse, read_directive

# 与站点（Sphinx 的简体中文翻译）一致的标题
_TITLES = {
    "note": "备注",
    "tip": "小技巧",
    "important": "重要",
    "warning": "警告",
    "hint": "提示",
}
_CITE_ROLES = ("cite", "cite:p", "cite:t")
_REFERENCES_PAGE = "book/references"

_BLOCKS = frozenset(
    [
        "paragraph",
        "heading",
        "bullet_list",
        "ordered_list",
        "list_item",
        "blockquote",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "hr",
        "code_block",
        "fence",
        "colon_fence",
        "math_block",
        "math_block_label",
        "myst_target",
        "myst_line_comment",
        "inline",
        "front_matter",
    ]
)
_INLINES = frozenset(
    [
        "text",
        "text_special",
        "softbreak",
        "hardbreak",
        "em",
        "strong",
        "code_inline",
        "link",
        "image",
        "math_inline",
        "math_inline_double",
        "myst_role",
    ]
)
_SYNTAX_NAMES = {
    "html_block": "HTML",
    "html_inline": "HTML",
    "amsmath": "裸的 LaTeX 环境（请放进 {math} 或 $$ … $$）",
    "footnote_ref": "脚注",
    "footnote_reference": "脚注",
    "dl": "定义列表",
    "substitution_inline": "{{ 替换 }}",
    "substitution_block": "{{ 替换 }}",
    "s": "删除线",
    "span": "[文字]{属性}",
    "myst_block_break": "+++ 分格（嵌在别的块里）",
}
_OUTER_ENVIRONMENTS = re.compile(r"\\begin\{(align|equation|gather|multline|eqnarray)\*?\}")

_Edit = tuple[int, int, str]  # 行内的一次替换：起、止、新文字


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
        edits: dict[int, list[_Edit]] = {}
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
        return self._caption("图", at, caption, at)

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
            return self._math(token.content, token.info, at)
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
        handler = _DIRECTIVES.get(directive.name)
        if handler is None:
            known = " ".join(f"{{{name}}}" for name in _DIRECTIVES)
            raise directive.error(f"不认识这条指令；课文能用的是 {known}。")
        allowed, function = handler
        for option in directive.options:
            if option not in allowed:
                names = " ".join(f":{name}:" for name in allowed) or "（没有）"
                raise directive.error(f"不认识选项 :{option}:；能用的是 {names}。")
        return function(self, directive)

    def _admonition(self, directive: Directive) -> str:
        if directive.name == "admonition":
            title = self._inline(directive.argument, directive.at)
            if not title:
                raise directive.error("要有标题，例如 {admonition} 直觉。")
        else:
            title = _TITLES[directive.name]
            if directive.argument:
                raise directive.error("正文从下一行写起；要自拟标题请用 {admonition} 标题。")
        content = self.convert(directive.body, directive.body_at)
        if "dropdown" in directive.options.get("class", "").split():
            return _details(title, content)
        return _quote(f"**{title}**\n\n{content}")

    def _dropdown(self, directive: Directive) -> str:
        title = self._inline(directive.argument, directive.at)
        return _details(title or "展开", self.convert(directive.body, directive.body_at))

    def _math_directive(self, directive: Directive) -> str:
        body = "\n".join(filter(None, [directive.argument, directive.body]))
        return self._math(body, directive.options.get("label"), directive.at)

    def _math(self, body: str, label: str | None, at: Place) -> str:
        body = body.strip("\n")
        if _OUTER_ENVIRONMENTS.search(body):
            raise at.error("公式里用 aligned、gathered，不用 align、equation 等自带编号的环境。")
        if re.search(r"\n[ \t]*\n", body):
            raise at.error("公式里不要有空行：笔记本会把它断成两段。")
        if r"\\" in body and r"\begin{" not in body:
            body = f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"  # 站点也会这样补上
        tag = f" \\tag{{{self._number(at)}}}" if label else ""
        return f"$$\n{body}{tag}\n$$"

    def _figure(self, directive: Directive) -> str:
        alt, width = directive.options.get("alt", ""), directive.options.get("width", "")
        if not alt or not directive.body:
            raise directive.error("要有 :alt:（给读屏的人）和图题。")
        url = self._image_url(directive.argument, directive.at)
        image = f"![{alt}]({url})"
        if width:  # Markdown 的图片没有宽度，只能用 HTML
            image = f'<img src="{url}" alt="{_attribute(alt)}" width="{width.removesuffix("px")}">'
        caption = self._caption("图", directive.at, directive.body, directive.body_at)
        return f"{image}\n\n{caption}"

    def _table(self, directive: Directive) -> str:
        body = self.convert(directive.body, directive.body_at)
        return self._with_caption(directive, body)

    def _list_table(self, directive: Directive) -> str:
        rows = list(self._list_rows(directive))
        if not rows or any(len(row) != len(rows[0]) for row in rows):
            raise directive.error("每行（* -）的格数（-）应相同。")
        headers = directive.options.get("header-rows", "0")
        if headers not in {"0", "1"}:
            raise directive.error(f":header-rows: 是 {headers}，普通 Markdown 的表只能有 0 或 1。")
        if headers == "0":
            rows.insert(0, [""] * len(rows[0]))
        rows.insert(1, ["---"] * len(rows[0]))
        table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
        return self._with_caption(directive, table)

    def _list_rows(self, directive: Directive) -> Iterator[list[str]]:
        """``* - 甲`` 这样的两层列表：外层一项是一行，内层一项是一格。"""
        row: list[str] = []
        depth = 0
        for token in parse(directive.body, self.book.extensions):
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
                row[-1] = _table_cell(self._inline(token.content, at))
            elif token.type not in _LIST_TABLE_TOKENS:
                raise at.error("{list-table} 里只能是 * - 两层列表，每格一段文字。")

    def _with_caption(self, directive: Directive, table: str) -> str:
        if not directive.argument:
            if "name" in directive.options:
                raise directive.error("有 :name: 的表要有标题，写在指令名后面。")
            return table
        caption = self._caption("表", directive.at, directive.argument, directive.at)
        return f"{caption}\n\n{table}"

    def _caption(self, kind: str, key: Place, text: str, at: Place) -> str:
        return f"**{kind} {self._number(key)}**　{self.convert(text, at)}"

    def _number(self, key: Place) -> str:
        number = self.index.numbers.get(key)
        if number is None:
            raise key.error("带编号的图、表、公式不能放在这里（表格、勘误条目之内）。")
        return number

    def _exercise(self, directive: Directive) -> str:
        label = directive.options.get("label")
        if not label:
            raise directive.error("要有 :label:，解答靠它对应。")
        self.exercises[label] = directive.at
        title = self._inline(directive.argument, directive.at)
        heading = self.index.targets[label].numbered_name + (f"（{title}）" if title else "")
        return f"**{heading}**\n\n{self.convert(directive.body, directive.body_at)}"

    def _solution_title(self, directive: Directive) -> str:
        target = self.index.targets.get(directive.argument)
        if target is None or target.kind != "exercise":
            raise directive.error(f"没有标签为 {directive.argument!r} 的练习。")
        if target.label not in self.exercises:
            raise directive.error(f"练习 {target.label} 不在前面：解答应在本课里、练习之后。")
        self.solved.add(target.label)
        return f"{target.numbered_name} 的解答"

    def _solution(self, directive: Directive) -> str:
        title = self._solution_title(directive)
        return _details(title, self.convert(directive.body, directive.body_at))

    def _solution_start(self, directive: Directive) -> str:
        if self.open_solution:
            line = self.open_solution.at.line
            raise directive.error(f"第 {line} 行的解答还没有 {{solution-end}}。")
        self.open_solution = directive
        heading = f"**{self._solution_title(directive)}**"
        body = self.convert(directive.body, directive.body_at)
        return f"{heading}\n\n{body}" if body else heading

    def _solution_end(self, directive: Directive) -> str:
        if not self.open_solution:
            raise directive.error("前面没有 {solution-start}。")
        self.open_solution = None
        return "---"

    def _errata(self, directive: Directive) -> str:
        entry = self.errata.get(directive.argument)
        if entry is None:
            raise directive.error(f"book/_data/errata.yml 里没有 id {directive.argument!r}。")
        at = Place(Path("book/_data/errata.yml"), 1)
        lesson = entry.get("lesson")
        if lesson and lesson != self.page.name:
            raise directive.error(f"这条勘误在 errata.yml 里写明属于 {lesson}，不在本课。")
        parts = [f"**勘误：笔记 {entry['note']} · {self._inline(str(entry['place']), at)}**"]
        for name, key in (("原文", "quote"), ("为什么不对", "why"), ("正确的说法", "right")):
            parts.append(f"**{name}**：{self.convert(str(entry[key]).strip(), at)}")
        return _quote("\n\n".join(parts))

    # ---- 行内 ---------------------------------------------------------------

    def _inline(self, text: str, at: Place) -> str:
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
        edits: dict[int, list[_Edit]],
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

    def _inline_edits(self, token: Token, at: Place) -> Iterator[_Edit]:
        for child in token.children or []:
            self._check_known(child, _INLINES, at)
            if child.type == "myst_role":
                yield (*child.meta["span"], self._role(child.meta["name"], child.content, at))
            elif child.type == "link_open" and "span" in child.meta:
                yield from self._link(child, token.content, at)
            elif child.type == "image":
                start, end = child.meta["span"]
                url = self._image_url(str(child.attrs["src"]), at)
                yield start, end, f"![{child.content}]({url})"
            elif child.type in {"softbreak", "hardbreak"}:
                at = at.down(1)

    def _link(self, token: Token, source: str, at: Place) -> Iterator[_Edit]:
        """``[文字](地址)``：外部地址不动，书内地址换成站点上的完整地址。"""
        href = str(token.attrs["href"])
        if re.match(r"(https?|mailto):", href):
            return
        start, end = token.meta["span"]
        label_end = token.meta["label_end"]
        if source[label_end + 1 : label_end + 2] != "(":
            raise at.error(f"书内链接 {href} 请写成 [文字](地址) 的形式。")
        text, url = self._book_link(href, at)
        if label_end == start + 1:  # [](#x)：文字取目标的标题
            yield start, end, f"[{text}]({url})"
        else:
            yield label_end + 1, end, f"({url})"

    def _book_link(self, href: str, at: Place) -> tuple[str, str]:
        path, _, label = href.partition("#")
        if label:
            target = self._target(label, at)
            return self._target_text(target, at), self._url(target)
        docname = self._docname(path.removesuffix(".md"), at) if path.endswith(".md") else None
        if docname is None:
            raise at.error(f"链接 {href} 不是网址、#标签，也不是书里的 .md。")
        return plain_title(self.index.titles[docname]), self.book.page_url(docname)

    def _docname(self, path: str, at: Place) -> str:
        base = "" if path.startswith("/") else os.path.dirname(self.page.docname)
        docname = os.path.normpath(os.path.join(base, path.lstrip("/")))
        if docname not in self.index.titles:
            raise at.error(f"目录里没有 {docname} 这一页。")
        return docname

    def _image_url(self, source: str, at: Place) -> str:
        if re.match(r"https?:", source):
            raise at.error(f"图片 {source} 在别的网站上；请放进仓库，站点不向外请求。")
        base = self.book.root if source.startswith("/") else self.page.source.parent
        path = Path(os.path.normpath(base / source.lstrip("/")))
        if not path.is_file() or not path.is_relative_to(self.book.root):
            raise at.error(f"找不到图片 {source}。")
        return self.book.raw_url(path)

    def _role(self, name: str, content: str, at: Place) -> str:
        if name == "term":
            return _split_explicit(content)[0] or content
        if name in _CITE_ROLES:
            return self._cite(name, content, at)
        handler = _ROLES.get(name)
        if handler is None:
            known = " ".join(f"{{{n}}}" for n in (*_ROLES, *_CITE_ROLES, "term"))
            raise at.error(f"不认识角色 {{{name}}}`{content}`；课文能用的是 {known}。")
        text, label = _split_explicit(content)
        return handler(self, text, label, at)

    def _eq(self, text: str, label: str, at: Place) -> str:
        target = self._target(label, at, kinds=("equation",))
        return f"[{text or target.numbered_name}]({self._url(target)})"

    def _numref(self, text: str, label: str, at: Place) -> str:
        target = self._target(label, at, kinds=("figure", "table", "exercise"))
        text = text.replace("%s", target.number).replace("{number}", target.number)
        return f"[{text or target.numbered_name}]({self._url(target)})"

    def _ref(self, text: str, label: str, at: Place) -> str:
        target = self._target(label, at)
        return f"[{text or self._target_text(target, at)}]({self._url(target)})"

    def _doc(self, text: str, path: str, at: Place) -> str:
        docname = self._docname(path, at)
        title = text or plain_title(self.index.titles[docname])
        return f"[{title}]({self.book.page_url(docname)})"

    def _cite(self, role: str, content: str, at: Place) -> str:
        url = self.book.page_url(_REFERENCES_PAGE)
        texts = []
        for key in (part.strip() for part in content.split(",")):
            citation = self.citations.get(key)
            if citation is None:
                raise at.error(f"参考文献里没有 {key}。")
            if role == "cite:t":
                texts.append(f"[{citation.author}（{citation.year}）]({url})")
            else:
                texts.append(f"[{citation.author} {citation.year}]({url})")
        return "、".join(texts) if role == "cite:t" else "[" + "；".join(texts) + "]"

    def _target(self, label: str, at: Place, kinds: tuple[str, ...] = ()) -> Target:
        target = self.index.targets.get(label)
        if target is None:
            raise at.error(f"没有标签 {label}。")
        if kinds and target.kind not in kinds:
            raise at.error(f"标签 {label} 不能这样引用，请换 {{ref}}、{{eq}} 或 {{numref}}。")
        return target

    def _target_text(self, target: Target, at: Place) -> str:
        if target.kind == "equation":
            raise at.error(f"公式 {target.label} 请用 {{eq}}`{target.label}` 引用。")
        if target.kind == "exercise":
            return target.numbered_name
        return plain_title(target.title)

    def _url(self, target: Target) -> str:
        return self.book.page_url(target.docname, target.anchor)


_KEEP = "\0keep"  # 不会出现在文本里的记号
_LIST_TABLE_TOKENS = frozenset(
    ["bullet_list_open", "bullet_list_close", "paragraph_open", "paragraph_close"]
)
_Handler = Callable[[Converter, Directive], str]
_DIRECTIVES: dict[str, tuple[tuple[str, ...], _Handler]] = {
    **dict.fromkeys(ADMONITIONS, (("class",), Converter._admonition)),
    "dropdown": (("class", "open", "icon", "color"), Converter._dropdown),
    "math": (("label",), Converter._math_directive),
    "figure": (("name", "alt", "width", "align", "class"), Converter._figure),
    "table": (("name", "align", "class", "widths"), Converter._table),
    "list-table": (("header-rows", "name", "align", "class", "widths"), Converter._list_table),
    "exercise": (("label", "class"), Converter._exercise),
    "solution": (("class", "label"), Converter._solution),
    "solution-start": (("class", "label"), Converter._solution_start),
    "solution-end": ((), Converter._solution_end),
    "errata": ((), Converter._errata),
}
_ROLES: dict[str, Callable[[Converter, str, str, Place], str]] = {
    "eq": Converter._eq,
    "numref": Converter._numref,
    "ref": Converter._ref,
    "doc": Converter._doc,
}


def _split_explicit(content: str) -> tuple[str, str]:
    """``文字 <标签>`` 拆成两半；没有尖括号时文字为空。"""
    match = re.fullmatch(r"(.*?)\s*<([^<>]+)>", content)
    return (match[1], match[2]) if match else ("", content)


def _starts_block(lines: list[str], token: Token) -> bool:
    assert token.map is not None
    return lines[token.map[0]].lstrip(" \t>").startswith(token.markup)


def _apply(line: str, edits: list[_Edit]) -> str:
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
