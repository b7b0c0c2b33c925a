"""把 MyST 文本切成记号，并记下行内角色、链接、图片在原文里的位置。

用的是站点自己的解析器（myst-parser），因此站点认得的写法这里都认得，切法也一样。
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

from tools.book import BookError

# 这两样是本书的词汇所必需，不论 _config.yml 里写没写
_NEEDED = ("colon_fence", "dollarmath")
_TRACKED = ("myst_role", "link", "image")
LABEL = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Place:
    """原文里的一处：文件与行号（从 1 起）。"""

    file: Path
    line: int

    def down(self, lines: int) -> "Place":
        """往下数 ``lines`` 行的那一处。"""
        return Place(self.file, self.line + lines)

    def error(self, message: str) -> BookError:
        """以 ``文件:行: `` 开头的错误。"""
        return BookError(f"{self.file}:{self.line}: {message}")


@dataclass(frozen=True)
class Directive:
    """一条指令：```` ```{name} argument ````、选项与正文。``body_at`` 是正文第一行的位置。"""

    name: str
    argument: str
    options: dict[str, str]
    body: str
    at: Place
    body_at: Place

    def error(self, message: str) -> BookError:
        """指令开头那一行的错误。"""
        return self.at.error(f"{{{self.name}}}：{message}")


def md_config(extensions: tuple[str, ...]) -> MdParserConfig:
    """与站点相同的 MyST 选项。"""
    return MdParserConfig(enable_extensions={*extensions, *_NEEDED}, dmath_double_inline=True)


@lru_cache
def _parser(extensions: tuple[str, ...]) -> MarkdownIt:
    parser = create_md_parser(md_config(extensions), RendererHTML)
    rules = {rule.name: rule.fn for rule in parser.inline.ruler.__rules__}
    for name in _TRACKED:
        parser.inline.ruler.at(name, _tracked(rules[name]))
    return parser


def parse(text: str, extensions: tuple[str, ...]) -> list[Token]:
    """块级记号；行内记号在 ``inline.children`` 里，其 ``meta["span"]`` 是它在 content 里的起止。"""
    return _parser(extensions).parse(text, {})


def _tracked(
    rule: Callable[[StateInline, bool], bool],
) -> Callable[[StateInline, bool], bool]:
    """规则成功时，在它造出的第一个记号上记下起止位置。"""

    def wrapped(state: StateInline, silent: bool) -> bool:
        start, count = state.pos, len(state.tokens)
        matched = rule(state, silent)
        if matched and not silent:
            # 链接文字前可能先冲出一段普通文字，跳过它
            first = next(t for t in state.tokens[count:] if t.type != "text")
            first.meta = {**first.meta, "span": (start, state.pos)}
            if first.type in {"link_open", "image"}:
                label_at = start + (first.type == "image")
                first.meta["label_end"] = state.md.helpers.parseLinkLabel(state, label_at)
        return matched

    return wrapped


def check_closed(token: Token, lines: list[str], at: Place) -> None:
    """没有写结尾的围栏会默默吃掉后面全部内容，这里报出来。"""
    assert token.map is not None
    first, end = token.map
    last = lines[end - 1].lstrip(" >\t").rstrip()
    closed = end - first >= 2 and re.fullmatch(f"{re.escape(token.markup)}+", last)
    if not closed or len(set(last)) != 1:
        raise at.error(f"这里开始的 {token.markup} 没有结尾的 {token.markup}。")


def read_directive(token: Token, at: Place) -> Directive | None:
    """围栏记号若是指令就读出来；普通代码块返回 ``None``。"""
    info = token.info.strip()
    match = re.fullmatch(r"\{([^}\s]+)\}[ \t]*(.*)", info)
    if match is None:
        if info.startswith("{") or token.type == "colon_fence":
            line = token.markup + token.info
            raise at.error(f"看不懂这一行：{line}（指令应写成 {{名字}} 参数）。")
        return None
    options, body, skipped = _split_options(token.content, at)
    return Directive(match[1], match[2].strip(), options, body, at, at.down(1 + skipped))


def _split_options(content: str, at: Place) -> tuple[dict[str, str], str, int]:
    lines = content.split("\n")
    count = 0
    if lines and lines[0].strip() == "---":
        count = next((i for i, line in enumerate(lines) if i and line.strip() == "---"), 0) + 1
        if count == 1:
            raise at.error("选项块以 --- 开头，却没有结尾的 ---。")
        loaded: Any = yaml.safe_load("\n".join(lines[1 : count - 1])) or {}
        options = {str(key): "" if value is None else str(value) for key, value in loaded.items()}
    else:
        options = {}
        while count < len(lines) and (m := re.fullmatch(r":([\w-]+):[ \t]*(.*)", lines[count])):
            options[m[1]] = m[2].strip()
            count += 1
    while count < len(lines) and not lines[count].strip():
        count += 1
    return options, "\n".join(lines[count:]).rstrip(), count
