"""一本小书：够用来试转换、执行、检查与站点缓存。"""

import base64
from pathlib import Path
from textwrap import dedent

from tools.book import Book, Page, load_book
from tools.twin import Workshop, open_workshop

CONFIG = """
repository:
  url: https://github.com/someone/somebook
  branch: main
html:
  baseurl: https://someone.github.io/somebook/
parse:
  myst_enable_extensions: [amsmath, attrs_inline, colon_fence, deflist, dollarmath]
bibtex_bibfiles: [book/references.bib]
"""
TOC = """
format: jb-book
root: book/index
parts:
  - caption: 甲
    numbered: true
    chapters:
      - file: book/one/index
        sections:
          - file: book/one/first
          - file: book/one/second
  - caption: 附录
    chapters:
      - file: book/references
"""
FRONT = """\
---
file_format: mystnb
kernelspec:
  name: python3
  display_name: Python 3
  language: python
---
"""
BIB = r"""
@article{lecun1998, author={LeCun, Yann and Bottou, L{\'e}on and Bengio, Yoshua}, title={A},
  year={1998}}
@book{two2020, author={Li, A. and Wang, B.}, title={B}, year={2020}}
@book{soulie1990, author={Souli{\'e}, F.}, title={D}, year={1990}}
@book{bishop2006, author={Bishop, Christopher}, title={C}, year={2006}}
"""
ERRATA = """
- id: softmax-sum
  note: "000"
  place: 第 3 节
  quote: 和为 $n$
  why: 应按类别求和，见 {eq}`eq-second`。
  right: 和为 $q$
  lesson: one/first
  topic: softmax
"""
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SECOND = """
(sec-second)=
# 第二课

$$
a = b
$$ (eq-second)

```{figure} pixel.png
:name: fig-second
:alt: 一个点

一个 $1\\times 1$ 的点。
```

:::{exercise} 热身
:label: ex-second

算一算。
:::

:::{solution} ex-second
:class: dropdown

等于二。
:::
"""


class TinyBook:
    """测试里的书：写课文，得到转换与检查的结果。"""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("_config.yml", CONFIG)
        self.write("_toc.yml", TOC)
        self.write("book/index.md", "# 书名\n")
        self.write("book/one/index.md", "# 第一章\n")
        self.write("book/references.md", "# 参考文献\n\n```{bibliography}\n```\n")
        self.write("book/references.bib", BIB)
        self.write("book/_data/errata.yml", ERRATA)
        self.write("d2lcore/__init__.py", "")
        (root / "book/one/pixel.png").write_bytes(PNG)
        (root / "book/one/plot.svg").write_text("<svg/>", encoding="utf-8")
        self.lesson("# 第一课\n")
        self.lesson(SECOND, name="second")

    def write(self, path: str, text: str) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return target

    def lesson(self, body: str, name: str = "first") -> Path:
        return self.write(f"book/one/{name}.md", FRONT + dedent(body))

    def only_lesson(self, body: str) -> Path:
        """书里只留第一课，执行起来快。"""
        self.write("_toc.yml", TOC.replace("          - file: book/one/second\n", ""))
        (self.root / "book/one/second.md").unlink(missing_ok=True)
        self.write("book/_data/errata.yml", "[]\n")
        return self.lesson(body)

    @property
    def book(self) -> Book:
        return load_book(self.root)

    @property
    def shop(self) -> Workshop:
        return open_workshop(self.book)

    @property
    def first(self) -> Page:
        return self.book.lessons[0]

    @property
    def twin(self) -> Path:
        return self.first.twin
