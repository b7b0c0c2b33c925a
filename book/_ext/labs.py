"""互动图：``{lab} 名字`` 在页面里放一个自定义元素 ``<nn-名字>``，正文是不能操作时看的说明。

打印、电子书、没有脚本的浏览器与孪生笔记本都只看正文。脚本由 ``book/_figures`` 里的各个文件首尾
相接而成，一个普通的 ``figures.js``（从文件夹里双击打开也能用），只有用到互动图的页才加载。
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rjsmin
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

SOURCES = Path(__file__).parents[1] / "_figures"
SCRIPT, STYLE = "figures.js", "figures.css"


def names() -> list[str]:
    """全部互动图的名字：有 ``名字.core.js`` 的就是。"""
    return sorted(path.name.removesuffix(".core.js") for path in SOURCES.glob("*.core.js"))


def script() -> str:
    """整个脚本：公用部分，再是每张图的算术与画面；去掉注释与缩进。"""
    files = ["base.js", *(f"{name}{end}" for name in names() for end in (".core.js", ".js"))]
    parts = (rjsmin.jsmin((SOURCES / name).read_text(encoding="utf-8")) for name in files)
    return "\n".join(parts) + "\n"


class lab(nodes.General, nodes.Element):
    """一张互动图；子节点是不能操作时看的说明。"""


class Lab(SphinxDirective):
    """``{lab} 名字``：``:preset:`` 是初始的设定，写法与网址里的相同，如 ``z=1,2&T=2``。"""

    required_arguments = 1
    has_content = True
    option_spec = {"preset": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """互动图的节点；名字不认识、没有说明、一页里重复都报错。"""
        name = self.arguments[0]
        if name not in names():
            raise self.error(f"没有叫 {name} 的互动图；有的是：{'、'.join(names())}。")
        if not self.content:
            raise self.error("互动图要有正文：不能操作时（打印、笔记本）读者看的就是它。")
        used = self.env.metadata[self.env.docname].setdefault("labs", [])
        if name in used:
            raise self.error(f"互动图 {name} 在这一页已经有了。")
        used.append(name)
        node = lab("", name=name, preset=self.options.get("preset", ""))
        self.state.nested_parse(self.content, self.content_offset, node)
        return [node]


def visit_lab(translator: HTML5Translator, node: lab) -> None:
    """开头。"""
    name = node["name"]
    preset = {"data-preset": node["preset"]} if node["preset"] else {}
    tag = translator.starttag(node, f"nn-{name}", "", **preset)
    translator.body.append(f'<div class="lab" id="lab-{name}">{tag}')


def depart_lab(translator: HTML5Translator, node: lab) -> None:
    """结尾。"""
    translator.body.append(f"</nn-{node['name']}></div>\n")


def skip(translator: nodes.NodeVisitor, node: lab) -> None:
    """别的格式只输出里面的说明。"""


def write_script(app: Sphinx, config: Config) -> None:
    """把脚本与样式写到一个临时的静态文件夹，由 Sphinx 拷到 ``_static``。"""
    folder = Path(app.doctreedir, "figures")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SCRIPT).write_text(script(), encoding="utf-8")
    (folder / STYLE).write_text((SOURCES / STYLE).read_text(encoding="utf-8"), encoding="utf-8")
    config.html_static_path.append(str(folder))


def load_script(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    """只给有互动图的页加载脚本与样式。"""
    if app.env.metadata.get(pagename, {}).get("labs"):
        app.add_css_file(STYLE)
        app.add_js_file(SCRIPT, loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx 扩展入口。"""
    app.add_node(lab, html=(visit_lab, depart_lab), latex=(skip, skip), text=(skip, skip))
    app.add_directive("lab", Lab)
    app.connect("config-inited", write_script)
    app.connect("html-page-context", load_script)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
