"""参考页：``{api} d2lcore.metrics`` 排出一个模块，``{api-index}`` 列出全部模块。

新写了模块，就在 ``book/api`` 里它该在的那一页加一个 ``{api}``；忘了加，``{api-index}`` 里
指向它的链接就找不到目标，构建报错。各页的文字由 ``api_text.py`` 写出。
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from api_text import PACKAGE, describe_module, load_library, markdown, public_modules
from course_data import DataDirective
from docutils import nodes
from griffe import Module
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging as sphinx_logging


class Api(DataDirective):
    """``{api} d2lcore.metrics``：一个模块的一节；指令的内容是写给读者的一两句话。"""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """标题、那一两句话、模块里的一切。"""
        name = self.arguments[0]
        found = {
            module.path: module for module in public_modules(load_library(str(self.env.srcdir)))
        }
        if name not in found:
            raise self.fail(f"没有叫 {name} 的公共模块；有的是：{'、'.join(found)}。")
        try:
            text = describe_module(found[name])
        except ValueError as error:
            raise self.fail(str(error)) from error
        self.env.metadata[self.env.docname]["api"] = True
        section = nodes.section("", nodes.title("", name), ids=[nodes.make_id(name)])
        section["classes"].append("api")
        section += self.parse("\n".join([*self.content, "", text]))
        link_types(section, found[name])
        return [section]


class ApiIndex(DataDirective):
    """``{api-index}``：全部模块，以及能直接从 ``d2lcore`` 导入的名字。"""

    def run(self) -> list[nodes.Node]:
        """模块名与它的第一句话；再列出 ``d2lcore`` 转交的名字。"""
        library = load_library(str(self.env.srcdir))
        self.env.metadata[self.env.docname]["api"] = True
        lines = [
            f"- {{py:mod}}`{module.path}`：{markdown(module.docstring.value.splitlines()[0])}"
            if module.docstring
            else f"- {{py:mod}}`{module.path}`"
            for module in public_modules(library)
        ]
        names = [
            f"{{py:obj}}`{name} <{item.canonical_path}>`"
            for name, item in library.members.items()
            if item.is_alias and item.is_exported
        ]
        lines += ["", f"下面这些可以直接从 `{PACKAGE}` 导入：{'、'.join(names)}。"]
        return self.parse("\n".join(lines))


def outdated(app: Sphinx, env: BuildEnvironment, *changes: set[str]) -> list[str]:
    """参考页每次都重排：库的哪个文件改了都可能影响它们，而重排只要零点几秒。"""
    return [page for page, data in env.metadata.items() if "api" in data]


def link_types(section: nodes.Element, module: Module) -> None:
    """签名里的类型：自家的连到它的定义，``Tensor`` 之类别家的不连。"""
    for signature in section.findall(addnodes.desc_signature):
        for link in list(signature.findall(addnodes.pending_xref)):
            known: Any = module.members.get(link["reftarget"])
            foreign = known and known.is_alias and not known.target_path.startswith(PACKAGE)
            if known is None or foreign or "._" in known.canonical_path:
                link.replace_self(link.children)
            else:
                link["reftype"], link["reftarget"] = "obj", known.canonical_path


def source_url(app: Sphinx, info: dict[str, str]) -> str:
    """定义在仓库里的地址，带行号。"""
    item = load_library(str(app.srcdir))[f"{info['module']}.{info['fullname']}".partition(".")[2]]
    path = Path(str(item.filepath)).relative_to(app.srcdir).as_posix()
    theme = app.config.html_theme_options
    address = f"{theme['repository_url']}/blob/{theme['repository_branch']}/{path}"
    return f"{address}#L{item.lineno}-L{item.endlineno}"


class Complaints(logging.Handler):
    """griffe 的抱怨（如文档字符串里的参数不在签名里）也算构建的警告。"""

    def emit(self, record: logging.LogRecord) -> None:
        """交给 Sphinx。"""
        sphinx_logging.getLogger(__name__).warning(record.getMessage())


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx 扩展入口。"""
    logging.getLogger("griffe").handlers = [Complaints(logging.WARNING)]
    app.setup_extension("sphinx.ext.linkcode")
    app.config.linkcode_resolve = lambda domain, info: source_url(app, info)
    app.add_directive("api", Api)
    app.add_directive("api-index", ApiIndex)
    app.connect("env-get-outdated", outdated)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
