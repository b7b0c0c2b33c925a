r"""公式：在浏览器里用随站附带的 KaTeX 排版，不向任何别的网站取文件。

网页里的源码形如 ``\(…\)`` 与 ``\[…\]``（不开脚本也能读），由 ``_static/math.js`` 逐个排版。
只有含公式的页面才加载 KaTeX。
类名用 ``tex`` 而不用惯用的 ``math``，免得受主题为 MathJax 写的样式影响。

不用 sphinxcontrib-katex：它不转义独立公式里的 ``<``，不认 amsmath 环境，且每页都加载全部脚本。
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

_CSS = ["katex/katex.min.css"]
_JS = ["katex/katex.min.js", "math.js"]
# 带编号的环境改用不带编号的写法：编号由 Sphinx 给，免得一式两号
_NUMBERED = re.compile(r"\\(begin|end)\{(equation|align|gather|alignat)\}")


def visit_inline(translator: HTML5Translator, node: nodes.math) -> None:
    """行内公式。"""
    translator.body.append(translator.starttag(node, "span", "", CLASS="tex nohighlight"))
    translator.body.append(rf"\({translator.encode(node.astext())}\)</span>")
    raise nodes.SkipNode


def visit_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """独立公式；编号在前，由样式表放到右侧。"""
    body = translator.body
    body.append(translator.starttag(node, "div", CLASS="tex-block"))
    if node["number"]:
        body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})')
        translator.add_permalink_ref(node, "此公式的链接")
        body.append("</span>")
    tex = _NUMBERED.sub(r"\\\1{\2*}", node.astext())
    body.append(f'<div class="tex nohighlight">\\[{translator.encode(tex)}\\]</div></div>\n')
    raise nodes.SkipNode


def load_katex(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    """只给含公式的页面加载 KaTeX。"""
    # MathDomain.has_equations() 把下级页面也算在内，这里只看本页
    if app.env.get_domain("math").data["has_equations"].get(pagename):
        for path in _CSS:
            app.add_css_file(path)
        for path in _JS:
            app.add_js_file(path, loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx 扩展入口；在 ``_config.yml`` 里以 ``html_math_renderer: katex`` 选用。"""
    app.add_html_math_renderer(
        "katex", inline_renderers=(visit_inline, None), block_renderers=(visit_block, None)
    )
    app.connect("html-page-context", load_katex)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
