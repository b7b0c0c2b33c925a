/* 互动图：卷积与汇聚，逐格手算，正向与反向。 */
(function (F) {
  "use strict";
  const core = F.core.conv, h = F.h, N = 6;
  const MODES = [["corr", "互相关（PyTorch 的卷积层）"], ["conv", "数学卷积（先翻转核）"], ["max", "最大汇聚"], ["avg", "平均汇聚"]];
  const WAYS = [["forward", "正向：Y"], ["back", "反向：dX 与 dW"]], UPSTREAM = [["one", "只有选中的一格是 1"], ["all", "全是 1"]];
  const DEFAULTS = {
    mode: "corr", way: "forward", stride: 1, pad: 0, k: 2, g: "one", i: 1, j: 1, r: 2, c: 3,
    x: [[3, 3, 3, 0, 0, 0], [3, 3, 3, 0, 0, 0], [3, 3, 2, 1, 0, 0], [3, 3, 3, 0, 0, 0], [0, 0, 0, 0, 1, 2], [0, 0, 0, 0, 3, 4]],
    w: [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
  };
  const KERNELS = {
    "竖直边": DEFAULTS.w,
    "边缘": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    "模糊": [[1, 2, 1], [2, 4, 2], [1, 2, 1]].map(row => row.map(v => v / 16)),
    "恒等": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
  };
  const POINT = { // 输入只有一个 1：输出就是核（或它的翻转）
    x: core.grid(N, N, (r, c) => +(r === 2 && c === 2)), w: [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
  };

  const clamp = (v, low, high) => Math.max(low, Math.min(high, Math.round(v)));
  const short = v => String(+v.toFixed(4) + 0);
  const learns = st => st.mode === "corr" || st.mode === "conv";

  function matrix(value, n, fallback) {
    const whole = value.length === n && value.every(row => row.length === n);
    return whole ? value.map(row => row.map(v => Math.max(-99, Math.min(99, +v.toFixed(4))))) : fallback;
  }

  function options(st) {
    return { mode: st.mode, k: learns(st) ? 3 : st.k, stride: st.stride, pad: learns(st) ? st.pad : 0 };
  }

  function check(st) {
    const one = (key, choices) => { if (!choices.some(c => c[0] === st[key])) st[key] = DEFAULTS[key]; };
    one("mode", MODES);
    one("way", WAYS);
    one("g", UPSTREAM);
    st.x = matrix(st.x, N, DEFAULTS.x);
    st.w = matrix(st.w, 3, DEFAULTS.w);
    st.stride = clamp(st.stride, 1, 2);
    st.pad = clamp(st.pad, 0, 1);
    st.k = clamp(st.k, 2, 3);
    const last = core.size(N, options(st)) - 1;
    ["i", "j"].forEach(key => { st[key] = clamp(st[key], 0, last); });
    ["r", "c"].forEach(key => { st[key] = clamp(st[key], 0, N - 1); });
    return st;
  }

  /** 上游的梯度 G，形状与输出相同。 */
  function upstream(st, m) {
    return core.grid(m, m, (i, j) => +(st.g === "all" || (i === st.i && j === st.j)));
  }

  // ---- 表 ----

  function table(name, values, cell) {
    const t = F.table(name, [""].concat(values[0].map((_, k) => k)), values.map((row, i) => [i].concat(row.map((v, j) => cell(v, i, j)))));
    t.classList.add("conv-grid");
    return t;
  }

  /** 每格是一个按钮的表：方向键移动，选中的记在状态的 keys 两项里。 */
  function picker(lab, name, values, keys, marked) {
    const n = values.length, key = keys.join("");
    const choose = (i, j) => {
      lab.set({ [keys[0]]: clamp(i, 0, n - 1), [keys[1]]: clamp(j, 0, n - 1) });
      lab.focusHandle(key);
    };
    return table(name, values, (v, i, j) => {
      const on = i === lab.state[keys[0]] && j === lab.state[keys[1]], by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
      const b = lab.action(short(v), () => choose(i, j));
      b.setAttribute("aria-label", "第 " + i + " 行第 " + j + " 列：" + short(v));
      b.setAttribute("aria-pressed", on);
      b.tabIndex = on ? 0 : -1; // 一张表只占一个 Tab
      if (on) b.dataset.key = key;
      if (marked && marked(i, j)) b.classList.add("conv-in");
      b.addEventListener("keydown", event => {
        const step = by[event.key];
        if (!step) return;
        event.preventDefault();
        choose(i + step[0], j + step[1]);
      });
      return b;
    });
  }

  /** 逐格，连表头与行首也算。 */
  function each(t, visit) {
    t.querySelectorAll("tr").forEach((row, i) => [...row.cells].forEach((cell, j) => visit(cell, i, j)));
  }

  /** 输入：中间 6×6 是数字框，外面一圈是填充的 0。 */
  function inputTable(lab) {
    const t = table("输入 X", core.grid(N + 2, N + 2, () => 0), (v, i, j) => (i % (N + 1) && j % (N + 1)
      ? lab.number("x." + (i - 1) + "." + (j - 1), { label: "输入第 " + (i - 1) + " 行第 " + (j - 1) + " 列", hidden: true, min: -99, max: 99, into: null }) : "0"));
    each(t, (cell, i, j) => { if (!i !== !j) cell.textContent = i + j - 2; }); // 填充的一圈是 −1 与 6
    return t;
  }

  function showInput(lab, window) {
    const o = options(lab.state), marks = {};
    window.forEach(t => { marks[t.r + "," + t.c] = lab.state.mode === "max" && t.w ? "conv-in conv-top" : "conv-in"; });
    const ring = k => k === 1 || k === N + 2;
    each(lab.input, (cell, i, j) => {
      cell.hidden = !o.pad && (ring(i) || ring(j));
      if (i && j) cell.className = marks[i - 2 + "," + (j - 2)] || "";
    });
  }

  // ---- 填上数的式子 ----

  const signed = v => (v < 0 ? "(" + short(v) + ")" : short(v));
  const products = (list, left, right) => list.map(t => signed(t[left]) + "×" + signed(t[right])).join(" + ");

  function forwardText(st, window, value) {
    const name = "Y[" + st.i + ", " + st.j + "] = ", xs = window.map(t => signed(t.x));
    if (st.mode === "max") return name + "max(" + xs.join(", ") + ") = " + short(value);
    if (st.mode === "avg") return name + "(" + xs.join(" + ") + ") ÷ " + window.length + " = " + short(value);
    return name + products(window, "x", "w") + " = " + short(value);
  }

  function backText(st, from, value) {
    const name = "dX[" + st.r + ", " + st.c + "] = ", used = from.filter(t => t.g);
    if (!used.length) return name + "0：G 不是 0 的那些窗口都不盖住它。";
    const where = used.map(t => "G[" + t.i + ", " + t.j + "]·" + (learns(st) ? "K[" + t.a + ", " + t.b + "]" : "份额")).join(" + ");
    return name + where + " = " + products(used, "g", "w") + " = " + short(value) +
      (st.mode === "max" ? "。份额：它是那个窗口选出的最大值就是 1，否则是 0。" : "");
  }

  function span(from, o) {
    const low = from * o.stride - o.pad;
    return "第 " + low + " 到 " + (low + o.k - 1);
  }

  function forwardView(lab, o, Y, window) {
    const st = lab.state, flipped = st.mode === "conv" ? table("真正相乘的：翻转之后的核", core.flip(st.w), short) : null;
    lab.side.replaceChildren(picker(lab, "输出 Y（选一格）", Y, ["i", "j"]));
    lab.below.replaceChildren(h("p", {}, forwardText(st, window, Y[st.i][st.j])), flipped || "");
    return "Y[" + st.i + ", " + st.j + "] = " + F.fmt(Y[st.i][st.j]) + "，窗口是" + span(st.i, o) + " 行、" + span(st.j, o) + " 列。输出的边长 ⌊(" +
      N + " + 2×" + o.pad + " − " + o.k + ") ÷ " + o.stride + "⌋ + 1 = " + Y.length + "。";
  }

  function backView(lab, o, Y) {
    const st = lab.state, G = upstream(st, Y.length), d = core.backward(st.x, st.w, o, G), from = core.sources(st.x, st.w, o, G, st.r, st.c);
    const value = d.dX[st.r][st.c], total = list => list.flat().reduce((a, b) => a + b, 0);
    const mark = (i, j) => from.some(t => t.i === i && t.j === j) && "conv-in";
    lab.side.replaceChildren(
      st.g === "one" ? picker(lab, "上游的梯度 G（选一格）", G, ["i", "j"], mark)
        : table("上游的梯度 G", G, (v, i, j) => h("div", { class: mark(i, j) }, v)),
      picker(lab, "dX（选一格看来历）", d.dX, ["r", "c"]));
    lab.below.replaceChildren(h("p", {}, backText(st, from, value)), d.dW ? table("dW：核的梯度", d.dW, short) : "");
    return "dX[" + st.r + ", " + st.c + "] = " + F.fmt(value) + "，dX 之和 " + F.fmt(total(d.dX)) +
      (d.dW ? "；dW[0, 0] = " + F.fmt(d.dW[0][0]) + "，dW 之和 " + F.fmt(total(d.dW)) + "。" : "；汇聚没有参数，没有 dW。");
  }

  F.lab("conv", {
    defaults: DEFAULTS,
    check,

    build(lab) {
      const show = (field, when) => lab.syncs.push(() => { field.hidden = !when(lab.state); });
      lab.select("mode", { label: "做什么", choices: MODES });
      lab.select("way", { label: "方向", choices: WAYS });
      lab.select("stride", { label: "步幅", choices: [[1, "1"], [2, "2"]] });
      show(lab.select("pad", { label: "填充", choices: [[0, "0"], [1, "1"]] }), learns);
      show(lab.select("k", { label: "窗口", choices: [[2, "2×2"], [3, "3×3"]] }), st => !learns(st));
      show(lab.select("g", { label: "上游的梯度", choices: UPSTREAM }), st => st.way === "back");
      Object.keys(KERNELS).forEach(name => show(lab.button("核：" + name, () => lab.set({ w: KERNELS[name] })), learns));
      lab.button("输入：斜边", () => lab.set({ x: core.grid(N, N, (r, c) => +(c <= r)) }));
      show(lab.button("一个点与 1 到 9 的核", () => lab.set(POINT)), learns);
      lab.input = inputTable(lab);
      lab.kernel = table("核 K", DEFAULTS.w, (v, a, b) => lab.number("w." + a + "." + b, {
        label: "核第 " + a + " 行第 " + b + " 列", hidden: true, min: -99, max: 99, into: null,
      }));
      show(lab.kernel, learns);
      lab.side = h("div", { class: "lab-row conv-row" });
      lab.below = h("div");
      lab.stage.append(h("div", { class: "lab-row conv-row" }, lab.input, lab.kernel, lab.side), lab.below);
    },

    draw(lab) {
      const st = lab.state, o = options(st), Y = core.forward(st.x, st.w, o), window = core.terms(st.x, st.w, o, st.i, st.j);
      showInput(lab, st.way === "back" && st.g === "all" ? [] : window);
      lab.result.textContent = st.way === "back" ? backView(lab, o, Y) : forwardView(lab, o, Y, window);
    },

    code(st) {
      const o = options(st), back = st.way === "back", step = "stride=" + o.stride;
      const kernel = st.mode === "conv" ? "K.flip(0, 1)" : "K";
      return "import torch\nfrom torch.nn import functional as F\n\n" +
        "X = torch.tensor(" + F.py(st.x) + ", dtype=torch.float64, requires_grad=True)\n" +
        (learns(st)
          ? "K = torch.tensor(" + F.py(st.w) + ", dtype=torch.float64, requires_grad=True)\n" +
            "Y = F.conv2d(X[None, None], " + kernel + "[None, None], " + step + ", padding=" + o.pad + ")[0, 0]\n"
          : "Y = F." + st.mode + "_pool2d(X[None, None], " + o.k + ", " + step + ")[0, 0]\n") +
        "print(Y)\n" +
        (back
          ? (st.g === "all" ? "G = torch.ones_like(Y)\n" : "G = torch.zeros_like(Y)\nG[" + st.i + ", " + st.j + "] = 1\n") +
            "Y.backward(G)\nprint(X.grad" + (learns(st) ? ", K.grad" : "") + ")\n"
          : "print(Y[" + st.i + ", " + st.j + "])\n");
    },
  });
})(Figures);
