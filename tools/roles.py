"""行内的引用：角色、链接与图片地址。书内的一切都换成站点或仓库里的完整地址。"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from markdown_it.token import Token

from tools.references import Target, plain_title
from tools.syntax import Place

if TYPE_CHECKING:
    from tools.plain_markdown import Converter

Edit = tuple[int, int, str]  # 行内的一次替换：起、止、新文字
_CITE_ROLES = ("cite", "cite:p", "cite:t")
_REFERENCES_PAGE = "book/references"


def link_edits(c: Converter, token: Token, source: str, at: Place) -> Iterator[Edit]:
    """``[文字](地址)``：外部地址不动，书内地址换成站点上的完整地址。"""
    href = str(token.attrs["href"])
    if re.match(r"(https?|mailto):", href):
        return
    start, end = token.meta["span"]
    label_end = token.meta["label_end"]
    if source[label_end + 1 : label_end + 2] != "(":
        raise at.error(f"书内链接 {href} 请写成 [文字](地址) 的形式。")
    text, url = _book_link(c, href, at)
    if label_end == start + 1:  # [](#x)：文字取目标的标题
        yield start, end, f"[{text}]({url})"
    else:
        yield label_end + 1, end, f"({url})"


def _book_link(c: Converter, href: str, at: Place) -> tuple[str, str]:
    path, _, label = href.partition("#")
    if path and label:  # 站点只把它当标题的自动锚点，找不到标签
        raise at.error(f"链接 {href} 请写成 [文字](#{label})，标签在全书通用。")
    if label:
        target = _target(c, label, at)
        return _target_text(c, target, at), _url(c, target)
    docname = _docname(c, path.removesuffix(".md"), at) if path.endswith(".md") else None
    if docname is None:
        raise at.error(f"链接 {href} 不是网址、#标签，也不是书里的 .md。")
    return plain_title(c.index.titles[docname]), c.book.page_url(docname)


def _docname(c: Converter, path: str, at: Place) -> str:
    base = "" if path.startswith("/") else os.path.dirname(c.page.docname)
    docname = os.path.normpath(os.path.join(base, path.lstrip("/")))
    if docname not in c.index.titles:
        raise at.error(f"目录里没有 {docname} 这一页。")
    return docname


def image_url(c: Converter, source: str, at: Place) -> str:
    """仓库里一张图片的原始地址；文件须存在。"""
    if re.match(r"https?:", source):
        raise at.error(f"图片 {source} 在别的网站上；请放进仓库，站点不向外请求。")
    base = c.book.root if source.startswith("/") else c.page.source.parent
    path = Path(os.path.normpath(base / source.lstrip("/")))
    if not path.is_file() or not path.is_relative_to(c.book.root):
        raise at.error(f"找不到图片 {source}。")
    return c.book.raw_url(path)


def role_text(c: Converter, name: str, content: str, at: Place) -> str:
    """一个角色的普通 Markdown。"""
    if name == "term":
        return _split_explicit(content)[0] or content
    if name in _CITE_ROLES:
        return _cite(c, name, content, at)
    handler = _ROLES.get(name)
    if handler is None:
        known = " ".join(f"{{{n}}}" for n in (*_ROLES, *_CITE_ROLES, "term"))
        raise at.error(f"不认识角色 {{{name}}}`{content}`；课文能用的是 {known}。")
    text, label = _split_explicit(content)
    return handler(c, text, label, at)


def _eq(c: Converter, text: str, label: str, at: Place) -> str:
    target = _target(c, label, at, kinds=("equation",))
    return f"[{text or target.numbered_name}]({_url(c, target)})"


def _numref(c: Converter, text: str, label: str, at: Place) -> str:
    target = _target(c, label, at, kinds=("figure", "table", "exercise"))
    text = text.replace("%s", target.number).replace("{number}", target.number)
    return f"[{text or target.numbered_name}]({_url(c, target)})"


def _ref(c: Converter, text: str, label: str, at: Place) -> str:
    target = _target(c, label, at)
    return f"[{text or _target_text(c, target, at)}]({_url(c, target)})"


def _doc(c: Converter, text: str, path: str, at: Place) -> str:
    docname = _docname(c, path, at)
    title = text or plain_title(c.index.titles[docname])
    return f"[{title}]({c.book.page_url(docname)})"


def _cite(c: Converter, role: str, content: str, at: Place) -> str:
    url = c.book.page_url(_REFERENCES_PAGE)
    texts = []
    for key in (part.strip() for part in content.split(",")):
        citation = c.citations.get(key)
        if citation is None:
            raise at.error(f"参考文献里没有 {key}。")
        if role == "cite:t":
            texts.append(f"[{citation.author}（{citation.year}）]({url})")
        else:
            texts.append(f"[{citation.author} {citation.year}]({url})")
    return "、".join(texts) if role == "cite:t" else "[" + "；".join(texts) + "]"


def _target(c: Converter, label: str, at: Place, kinds: tuple[str, ...] = ()) -> Target:
    target = c.index.targets.get(label)
    if target is None:
        raise at.error(f"没有标签 {label}。")
    if kinds and target.kind not in kinds:
        raise at.error(f"标签 {label} 不能这样引用，请换 {{ref}}、{{eq}} 或 {{numref}}。")
    return target


def _target_text(c: Converter, target: Target, at: Place) -> str:
    if target.kind == "equation":
        raise at.error(f"公式 {target.label} 请用 {{eq}}`{target.label}` 引用。")
    if target.kind == "exercise":
        return target.numbered_name
    return plain_title(target.title)


def _url(c: Converter, target: Target) -> str:
    return c.book.page_url(target.docname, target.anchor)


def _split_explicit(content: str) -> tuple[str, str]:
    """``文字 <标签>`` 拆成两半；没有尖括号时文字为空。"""
    match = re.fullmatch(r"(.*?)\s*<([^<>]+)>", content)
    return (match[1], match[2]) if match else ("", content)


_ROLES: dict[str, Callable[[Converter, str, str, Place], str]] = {
    "eq": _eq,
    "numref": _numref,
    "ref": _ref,
    "doc": _doc,
}
