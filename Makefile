# 《深度学习可执行笔记》的全部命令；每个目标会自己备好所需的环境。
#   make site        建站（不需要 torch，也不需要数据）
#   make test        代码检查 + 单元测试 + 流水线检查 + 重跑全部笔记并逐格比对
#   make test-site   在真实浏览器里检查建好的站点
#   make notebooks   重跑改动过的笔记，更新其输出
#   make serve       建站并在本机预览
#   make bench       与同类并排测速（BENCH="--only LeNet --json 文件" 可加参数）
#   make lint        ruff 与 mypy
#   make mutants     把库里的一处处改错，看测试能否发现（约十几分钟）
#   make clean       删掉生成物（保留 .venv）
PYTHON ?= python3
VENV   ?= .venv
PORT   ?= 8000
BIN    := $(VENV)/bin
PY     := $(BIN)/python
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check
SRC    := d2lcore tools tests benchmarks book/_ext

# 真实数据：环境变量优先；否则若仓库旁边有 ../shared/data 就用它；再否则由库自己找或下载。
ifndef D2LCORE_DATA
ifneq ($(wildcard ../shared/data/FashionMNIST),)
export D2LCORE_DATA := $(abspath ../shared/data)
endif
endif
# 中文输出与正则在任何地区设置下都要能读
export PYTHONUTF8 := 1
# OpenMP 的线程空转一小会儿就睡：机器上还有别的程序在跑时，训练不至于慢十几倍；空闲时也略快
export GOMP_SPINCOUNT ?= 10000

.DELETE_ON_ERROR:
.PHONY: site test test-site notebooks serve bench lint clean unit check nbval mutants

# ---- 环境：依赖只写在 pyproject.toml 里，这里按组安装 -------------------------------
$(PY):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "需要 Python 3.10 或更新的版本")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.site: pyproject.toml | $(PY)
	$(PY) -m tools.extras site > $(VENV)/requirements-site.txt
	$(PIP) -r $(VENV)/requirements-site.txt
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/.site
	@echo "安装 torch 等（首次约需下载数 GB，请稍候）……"
	$(PIP) -e ".[site,test]"
	@touch $@

$(VENV)/.browser: pyproject.toml | $(VENV)/.site
	$(PY) -m tools.extras browser > $(VENV)/requirements-browser.txt
	$(PIP) -r $(VENV)/requirements-browser.txt
	@touch $@

# ---- 站点 ---------------------------------------------------------------------------
# Sphinx 不会因扩展改了而重读课文：扩展有变化就从头建
_build/.extensions: $(wildcard book/_ext/* book/_figures/*) | $(VENV)/.site
	@rm -rf _build/html _build/.doctrees
	@mkdir -p _build && touch $@

site: $(VENV)/.site _build/.extensions
	$(PY) -m tools.notebooks cache
	$(BIN)/jupyter-book build . --quiet -W -n --keep-going
	@echo "站点已建好：用浏览器打开 _build/html/index.html，或运行 make serve 后访问 http://localhost:$(PORT)"

serve: site
	@echo "预览：http://localhost:$(PORT)（按 Ctrl+C 结束）"
	$(PY) -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

# ---- 测试 ---------------------------------------------------------------------------
test: lint unit check nbval
	@echo "make test 全部通过：代码检查、单元测试、流水线检查、笔记逐格比对。"

lint: $(VENV)/.test
	$(BIN)/ruff check $(SRC)
	$(BIN)/mypy d2lcore tools benchmarks book/_ext

unit: $(VENV)/.test
	@mkdir -p _build
	$(PY) -m pytest tests --ignore=tests/site -n 2 --dist loadfile \
	  --cov --cov-report= --cov-report=json:_build/coverage.json
	$(PY) -m tools.coverage _build/coverage.json

check: $(VENV)/.test
	$(PY) -m tools.notebooks check

nbval: $(VENV)/.test
	$(PY) -m tools.nbval

test-site: site $(VENV)/.browser
	$(PY) -m pytest tests/site

# ---- 其他 ---------------------------------------------------------------------------
notebooks: $(VENV)/.test
	$(PY) -m tools.notebooks run

bench: $(VENV)/.test
	$(PIP) -e ".[bench]"
	test -d .bench/d2l || $(PIP) --no-deps --target .bench/d2l d2l==0.17.6
	$(PY) -m benchmarks.run $(BENCH)

mutants: $(VENV)/.test
	$(PY) -m tools.mutants

clean:
	rm -rf _build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
