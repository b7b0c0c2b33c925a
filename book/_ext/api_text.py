"""参考页的文字：用 griffe 静态地读库，把定义与文档字符串写成 MyST（Python 域的指令）。

不导入库，所以建站的环境里不必有 torch。文档字符串当作 Markdown 来排：在 reST 里，
``**平均**损失`` 这样紧挨着汉字的记号不算记号，autodoc 与 autoapi 都会因此报警告。
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

import griffe
from griffe import Attribute, Class, Function, Module

PACKAGE = "d2lcore"
LABELS = {
    "parameters": "参数", "attributes": "属性", "returns": "返回", "yields": "逐个给出",
    "raises": "异常", "examples": "示例", "note": "注意", "references": "出处",
}  # fmt: skip
KINDS = {  # griffe 与 inspect 的说法相同
    kind.description: kind
    for kind in (
        Parameter.POSITIONAL_ONLY,
        Parameter.POSITIONAL_OR_KEYWORD,
        Parameter.VAR_POSITIONAL,
        Parameter.KEYWORD_ONLY,
        Parameter.VAR_KEYWORD,
    )
}
LONGEST_VALUE = 60  # 常量的值比这还长就不列出，读者点“源代码”去看
PLAIN_BASES = {"NamedTuple", "Protocol"}  # 不必告诉读者的基类


@cache
def load_library(root: str) -> Module:
    """静态地读入 ``root`` 下的整个库。"""
    library = griffe.load(
        PACKAGE,
        search_paths=[root],
        docstring_parser="google",
        docstring_options={"returns_multiple_items": False, "returns_named_value": False},
        allow_inspection=False,
        try_relative_path=False,  # 只认 root，不看当前文件夹
    )
    assert isinstance(library, Module)
    return library


def public_modules(module: Module) -> Iterator[Module]:
    """库里的各个公共模块与子包，按名字排；不含 ``d2lcore`` 本身。"""
    for name, child in sorted(module.modules.items()):
        if not (name.startswith("_") or child.is_alias):  # 别的模块导入的不算
            yield child
            yield from public_modules(child)


# ---- 文档字符串 ------------------------------------------------------------------------------


def markdown(text: str) -> str:
    """交叉引用与 ``>>>`` 换成 MyST 的写法；正文里单个的 ``*``、``$`` 照原样显示。"""
    text = re.sub(r"(?m)^>>>(?:.+\n?)+", lambda run: f"```pycon\n{run[0].rstrip()}\n```\n", text)
    text = re.sub(r"(?m)::$", "：", text)  # 引出缩进的代码；Markdown 里缩进本身就够了
    text = re.sub(
        r":(func|class|meth|attr|data|mod|exc):`(~?)\.?([^`<>]+)`", r"{py:\1}`\2.\3`", text
    )
    parts = re.split(r"(?s)(```.*?```|``.+?``|`[^`\n]+`)", text)
    parts[::2] = [re.sub(r"(?<![*$])[*$](?![*$ ])", r"\\\g<0>", part) for part in parts[::2]]
    return "".join(parts)


def indent(text: str, first: str) -> str:
    """首行之前加 ``first``，其余各行缩进到同样的位置。"""
    return first + text.strip().replace("\n", "\n" + " " * len(first))


def document(item: Any) -> Iterator[str]:
    """文档字符串：正文照排，各小节写成“名称：内容”的定义列表。"""
    for section in item.docstring.parsed if item.docstring else []:
        kind, value = section.kind.value, section.value
        kind = value.kind if kind == "admonition" else kind
        if kind == "text":
            yield markdown(value)
            continue
        if kind not in LABELS:
            raise ValueError(f"{item.path} 的文档字符串里有不认识的小节 {kind!r}。")
        if kind in ("parameters", "attributes", "raises"):
            named = ((e.annotation if kind == "raises" else e.name, e.description) for e in value)
            body = "\n".join(indent(markdown(text), f"- `{name}`：") for name, text in named)
        elif kind in ("returns", "yields"):
            # griffe 把“单位: 像素”里冒号之前的字当作类型，拼回去
            type_ = "" if str(value[0].annotation) == str(item.annotation) else value[0].annotation
            body = markdown(f"{type_}: {value[0].description}" if type_ else value[0].description)
        elif kind == "examples":
            body = "\n\n".join(markdown(text) for _, text in value)
        else:
            body = markdown(value.contents)
        yield f"{LABELS[kind]}\n{indent(body, ': ')}\n"


def comment(item: Any) -> str:
    """常量与字段的说明：同一行末尾的注释，或紧挨在上方的注释。"""
    lines = Path(str(item.filepath)).read_text(encoding="utf-8").splitlines()
    at = (item.lineno or 1) - 1
    trailing = re.search(r"  # (?!fmt:|noqa|type:)(.+)", lines[at])
    above: list[str] = []
    while at and re.match(r"\s*# (?!──|--)", lines[at - 1]):  # 分隔线不是说明
        at -= 1
        above.insert(0, lines[at].strip("# "))
    return markdown(trailing[1] if trailing else "\n".join(above))


# ---- 定义 ----------------------------------------------------------------------------------


class Source(str):
    """源代码的一段；``inspect`` 排版用 ``repr``，这里给它原文。"""

    __repr__ = str.__str__


def signature(parameters: Any, returns: Any = None) -> str:
    """``(a: Tensor, *, b: int = 0) -> Tensor``，类型与缺省值照源代码写。"""

    def source(value: Any, wanted: bool = True) -> Any:
        return Signature.empty if value is None or not wanted else Source(value)

    items = [
        Parameter(
            each.name,
            KINDS[each.kind.value],
            default=source(each.default, "variadic" not in each.kind.value),
            annotation=source(each.annotation),
        )
        for each in parameters
        if each.name not in ("self", "cls")
    ]
    return str(Signature(items, return_annotation=source(returns)))


def is_public(item: Any) -> bool:
    """在这里定义、名字不以 ``_`` 开头；``__len__`` 之类要写了文档字符串。"""
    magic = item.name.startswith("__") and item.name != "__init__" and item.docstring
    return not item.is_alias and bool(magic or not item.name.startswith("_"))


def passed_on(item: Any) -> bool:
    """别处定义、写在 ``__all__`` 里转交的名字。"""
    return bool(item.is_alias and item.is_exported)


def directive(name: str, argument: str, body: str, **options: Any) -> str:
    """一个 MyST 指令；围栏比里面的都长，里面的才不会提前把它结束。"""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`{3,}", body))])
    given = {key: str(value) for key, value in options.items() if value is not None}
    # 选项按 YAML 读：加引号，免得 "stand-in" 丢了引号、[1, 2] 变成列表
    lines = [f":{key}: {json.dumps(text, ensure_ascii=False)}" for key, text in given.items()]
    return "\n".join([f"{fence}{{{name}}} {argument}", *lines, "", body, fence, ""])


def describe(item: Any) -> str:
    """一个函数、类、方法、性质、字段或常量。"""
    body = "\n\n".join(document(item))
    inside = isinstance(item.parent, Class)
    if isinstance(item, Class):
        return describe_class(item, body)
    if isinstance(item, Function):
        name = item.name + signature(item.parameters, item.returns)
        flags = dict.fromkeys(item.labels & {"staticmethod", "classmethod"}, "")
        return directive("py:method" if inside else "py:function", name, body, **flags)
    if "property" in item.labels:
        return directive("py:property", item.name, body, type=item.annotation)
    value = str(item.value) if item.value and len(str(item.value)) <= LONGEST_VALUE else None
    options = {"type": item.annotation, "value": value, "no-contents-entry": ""}
    kind = "py:attribute" if inside else "py:data"
    return directive(kind, item.name, body or comment(item), **options)


def describe_class(item: Class, body: str) -> str:
    """类：怎样构造、基类、说明，然后是各个方法与写了注释的字段。"""
    bases = list(map(str, item.bases))
    others = [f"`{base}`" for base in bases if base not in PLAIN_BASES]
    parts = [f"基类：{'、'.join(others)}"] if others else []
    parts.append(body)
    for member in filter(is_public, item.members.values()):
        field = isinstance(member, Attribute) and "property" not in member.labels
        if comment(member) if field else member.docstring:
            parts.append(describe(member))
    parameters = list(item.parameters)
    if "NamedTuple" in bases:  # griffe 只替 dataclass 推出构造函数
        kind = griffe.ParameterKind("positional or keyword")
        parameters = [
            griffe.Parameter(
                field.name, annotation=field.annotation, kind=kind, default=field.value
            )
            for field in item.attributes.values()
            if "property" not in field.labels
        ]
    name = item.name + (signature(parameters) if parameters else "")
    return directive("py:class", name, "\n\n".join(parts))


def describe_module(module: Module) -> str:
    """模块的说明与全部公共名字；常量与类型别名收在一个折叠块里。"""
    items = [item for item in module.members.values() if is_public(item) and not item.is_module]
    constants = [describe(item) for item in items if isinstance(item, Attribute)]
    parts = [directive("py:module", module.path, ""), *document(module)]
    parts += [describe(item) for item in items if not isinstance(item, Attribute)]
    exported = [f"`{name}`" for name, item in module.members.items() if passed_on(item)]
    if exported:
        parts.append(f"还有这些名字，定义在别处，也能从这里导入：{'、'.join(exported)}。")
    if constants:
        parts.append(directive("dropdown", "常量与类型别名", "\n\n".join(constants)))
    return "\n\n".join(parts)
