"""真的建一次小站：不执行任何代码，编号、标题与锚点和孪生笔记本里写的一样。"""

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from tiny_book import CONFIG, SECOND, TinyBook

from tools.notebooks import main
from tools.twin import build_twin, code_cells, read_twin, write_twin

pytest.importorskip("sphinx_exercise")
SITE = {
    "title": "小书",
    "author": "无",
    "only_build_toc_files": True,
    "exclude_patterns": ["book/*/*.ipynb"],
    "execute": {"execute_notebooks": "cache"},
    "sphinx": {
        "extra_extensions": ["sphinx_exercise"],
        "config": {
            "language": "zh_CN",
            "numfig": True,
            "numfig_secnum_depth": 2,
            "math_numfig": True,
            "numfig_format": {"figure": "图 %s", "table": "表 %s"},
        },
    },
}
LESSON = """
(sec-a)=
# 第一课

```{math}
:label: eq-a
a
```

```{note}
$$
b
$$ (eq-b)

:::{figure} pixel.png
:name: fig-a
:alt: 点

嵌着的图 $x$
:::
```

## 小节

```{figure} pixel.png
:alt: 点

没有名字的图
```

(sec-deep)=
### 小小节

```{code-cell} ipython3
---
mystnb:
  figure:
    name: fig-code
    caption: 代码画的图
  image:
    alt: 点
---
raise SystemExit("建站时不该执行")
```

```{list-table} 名称
:name: tbl-a

* - 甲
```

| 没有 | 标题 |
| --- | --- |
| 1 | 2 |

```{table} 第二张
:name: tbl-b

| a |
| --- |
| 1 |
```

```{exercise} 甲题
:label: ex-a

题 $y$

$$
c
$$ (eq-c)
```

````{solution} ex-a
:class: dropdown

```{figure} pixel.png
:name: fig-in-solution
:alt: 点

解答里的图
```
````

```{exercise}
:label: ex-b

乙题
```

```{solution-start} ex-b
:class: dropdown
```

```{code-cell} ipython3
1 + 1
```

```{solution-end}
```

(sec-refs)=
## 引用

%s
"""
REFERENCES = [
    "{eq}`eq-a`",
    "{eq}`eq-b`",
    "{eq}`eq-c`",
    "{eq}`eq-second`",
    "{numref}`fig-a`",
    "{numref}`fig-code`",
    "{numref}`fig-in-solution`",
    "{numref}`上图 %s <fig-second>`",
    "{numref}`tbl-a`",
    "{numref}`tbl-b`",
    "{numref}`ex-b`",
    "{ref}`fig-code`",
    "{ref}`tbl-b`",
    "{ref}`ex-a`",
    "{ref}`ex-second`",
    "{ref}`sec-deep`",
    "{ref}`sec-second`",
    "{ref}`那里 <sec-second>`",
    "{doc}`second`",
    "{doc}`/book/one/index`",
    "[](#sec-a)",
    "[](#sec-second)",
    "[](second.md)",
    "[丙](#sec-second)",
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> TinyBook:
    tiny = TinyBook(tmp_path_factory.mktemp("site"))
    tiny.write("_config.yml", yaml.safe_dump({**yaml.safe_load(CONFIG), **SITE}))
    tiny.write("book/_data/errata.yml", "[]\n")
    tiny.lesson(LESSON % "\n".join(f"- {reference}" for reference in REFERENCES))
    tiny.lesson(SECOND, name="second")
    for page in tiny.book.lessons:
        twin = build_twin(tiny.shop, page)
        for k, cell in enumerate(code_cells(twin), start=1):
            cell.execution_count = k
            if "mystnb" in cell.metadata:
                data = {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"}
                cell.outputs = [nbformat.v4.new_output("display_data", data=data)]
        write_twin(page.twin, twin)
    assert main(["--root", str(tiny.root), "cache"]) == 0
    build(tiny.root)
    return tiny


def build(root: Path) -> None:
    """与 make site 一样建站，警告当错误。"""
    start = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", start, "build", ".", "-W", "-n", "--keep-going"]
    env = {**os.environ, "PYTHONUTF8": "1"}
    result = subprocess.run(command, cwd=root, env=env, text=True, capture_output=True, check=False)
    output = result.stdout + result.stderr
    assert result.returncode == 0, output
    assert "Executing notebook" not in output


def test_references_read_the_same(site: TinyBook) -> None:
    page = (site.root / "_build/html/book/one/first.html").read_text(encoding="utf-8")
    section = page[page.index('id="sec-refs"') :]
    items = re.findall(r"<li>(.*?)</li>", section, flags=re.DOTALL)[: len(REFERENCES)]
    on_site = [html.unescape(re.sub(r"<[^>]+>|\s+", "", item)) for item in items]
    twin = read_twin(site.twin).cells[-1].source
    in_twin = [
        re.sub(r"\s+", "", text) for text in re.findall(r"^- \[(.*)\]\(", twin, re.MULTILINE)
    ]
    assert dict(zip(REFERENCES, in_twin, strict=True)) == dict(
        zip(REFERENCES, on_site, strict=True)
    )


def test_every_link_has_its_anchor(site: TinyBook) -> None:
    for page in site.book.lessons:
        text = "\n".join(cell.source for cell in read_twin(page.twin).cells)
        for docname, anchor in re.findall(r"somebook/(book/[\w/-]+)\.html#([\w-]+)\)", text):
            target = site.root / "_build/html" / f"{docname}.html"
            assert f'id="{anchor}"' in target.read_text(encoding="utf-8"), (docname, anchor)


def test_captions_carry_the_same_numbers(site: TinyBook) -> None:
    page = (site.root / "_build/html/book/one/first.html").read_text(encoding="utf-8")
    numbers = re.findall(r'caption-number">([图表] [\d.]+)', page)
    text = "\n".join(cell.source for cell in read_twin(site.twin).cells)
    assert re.findall(r"^(?:> )?\*\*([图表] [\d.]+)\*\*", text, re.MULTILINE) == numbers
    assert len(numbers) == 6
