"""与 .md 成对的 .ipynb：建站只用它的输出，下载按钮也给它。"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NoReturn

from docutils import nodes
from myst_nb.core.execute import cache as nb_cache
from sphinx.application import Sphinx
from sphinx.errors import SphinxError


def refuse_to_execute(notebook: Any, cwd: str, *args: Any, **kwargs: Any) -> NoReturn:
    """缓存里没有某一课的输出时报错；myst-nb 原本会悄悄运行它。"""
    raise SphinxError(
        f"{cwd} 里有一课的输出不在 _build/.jupyter_cache：建站不运行代码。"
        "请先运行 make notebooks（需要时重跑），再运行 python -m tools.notebooks cache。"
    )


def depend_on_twin(app: Sphinx, doctree: nodes.document) -> None:
    """输出变了而 .md 没变时，这一页也要重建。"""
    twin = Path(app.srcdir, f"{app.env.docname}.ipynb")
    if twin.exists():
        app.env.note_dependency(str(twin))


def offer_twin(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    """下载按钮给出仓库里的 .ipynb；主题放在那里的一份含 MyST 记号，在 Jupyter 里读不顺。"""
    twin = Path(app.srcdir, f"{pagename}.ipynb")
    if context.get("ipynb_source") and twin.exists():
        shutil.copyfile(twin, Path(app.outdir, "_sources", f"{pagename}.ipynb"))


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx 扩展入口。"""
    nb_cache.single_nb_execution = refuse_to_execute
    app.connect("doctree-read", depend_on_twin)
    app.connect("html-page-context", offer_twin, priority=600)  # 在主题（501）之后
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
