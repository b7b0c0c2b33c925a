"""检查普通 Markdown 里有没有漏进 MyST 标记：在 Colab 里它们会原样显示给读者。"""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin

_ROLE_END = re.compile(r"\{[a-zA-Z][\w:+-]*\}$")
_TARGET = re.compile(r"^\([\w-]+\)=$", re.MULTILINE)


def find_leaks(markdown: str) -> list[str]:
    """漏进来的标记，按出现顺序；没有则为空。代码块与公式里的内容不算。"""
    parser = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin, double_inline=True)
    leaks: list[str] = []
    for token in parser.parse(markdown):
        if token.type == "fence" and token.info.strip().startswith("{"):
            leaks.append(f"指令 {token.markup}{token.info.strip()}")
        elif token.type == "inline":
            leaks += _inline_leaks(token.children or [])
    return leaks


def _inline_leaks(tokens: list[Token]) -> Iterator[str]:
    previous = ""
    for i, token in enumerate(tokens):
        following = tokens[i + 1].type if i + 1 < len(tokens) else ""
        if token.type == "text":
            text = token.content
            if following == "code_inline" and (match := _ROLE_END.search(text)):
                yield f"角色 {match[0]}`{tokens[i + 1].content}`"
            if "**" in text:  # 例如“。**”后面紧跟汉字：CommonMark 不当它是粗体的结尾
                yield f"没有变成粗体的 **（{text.strip()[:20]}）；把标点移到 ** 外面"
            if text.lstrip().startswith(":::"):
                yield f"冒号围栏 {text.strip()}"
            if previous in {"image", "link_close", "code_inline"} and text.startswith("{"):
                yield f"属性 {text.split('}')[0]}}}"
            if match := _TARGET.search(text):
                yield f"标签 {match[0]}"
            if "{{" in text:
                yield f"替换 {text[text.index('{{') :]}"
        elif token.type == "link_open":
            href = str(token.attrs.get("href", ""))
            if not re.match(r"(https?|mailto):", href):
                yield f"相对链接 {href}"
        elif token.type == "image" and not re.match("https?:", str(token.attrs.get("src", ""))):
            yield f"相对图片 {token.attrs.get('src')}"
        previous = token.type
