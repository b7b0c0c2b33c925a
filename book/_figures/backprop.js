/* 互动图：2-2-1 网络的反向传播，一步看一个偏导数。 */
(function (F) {
  "use strict";
  const core = F.core.backprop, h = F.h, s = F.s, fmt = F.fmt;
  const LIMIT = 100, STEPS = 16, BOTH = [0, 1], ACTS = [["relu", "ReLU"], ["sigmoid", "sigmoid"], ["tanh", "tanh"]];
  // 课文手算的例子，只留第一个输出，不加惩罚
  const DEFAULTS = { x: [1, 2], W: [[2, 1], [1, -1]], b: [-1, 0], v: [1, 2], c: 0, t: 1, act: "relu", lr: 0.1, step: 0 };
  const CASES = {
    "sigmoid 饱和": { act: "sigmoid", W: [[4, 3], [2, -5]], t: 3 },
    "两个单元相同": { act: "tanh", W: [[0.5, 0.5], [-0.1, -0.1]], b: [0, 0], v: [0.4, 0.4] },
    "参数全 0": { act: "tanh", W: [[0, 0], [0, 0]], b: [0, 0], v: [0, 0] },
    "步子太大": { lr: 0.6 },
  };

  /** 与 like 同形的数，截到 ±LIMIT；形状不对就用 like。 */
  function legal(value, like) {
    if (!Array.isArray(like)) return Math.max(-LIMIT, Math.min(LIMIT, +value.toFixed(6)));
    if (!Array.isArray(value) || value.length !== like.length) value = like;
    return like.map((item, k) => legal(value[k], item));
  }

  function check(state) {
    ["x", "W", "b", "v", "c", "t"].forEach((key) => { state[key] = legal(state[key], DEFAULTS[key]); });
    if (!ACTS.some((a) => a[0] === state.act)) state.act = "relu";
    state.lr = Math.max(0.01, Math.min(2, +state.lr.toFixed(2)));
    state.step = Math.max(0, Math.min(STEPS, Math.round(state.step)));
    return state;
  }

  function inside(p) {
    return [p.W, p.b, p.v, p.c].flat(2).every((v) => Math.abs(v) <= LIMIT);
  }

  // ---- 文字 ----

  /** 式子里的因子：最多四位小数，负数加括号。 */
  function n(value) {
    const text = String(+fmt(value));
    return text[0] === "-" ? `(${text})` : text;
  }

  function times(a, b) { return `${n(a)}×${n(b)}`; }

  /** "∂W01 × x0" 写成 "∂L/∂w₁₂ × x₁"。 */
  function pretty(code) {
    return code.replace(/∂/g, "∂L/∂").replace(/y/g, "ŷ").replace(/W/g, "w")
      .replace(/[a-z]\d+/g, (name) => name.replace(/0/g, "₁").replace(/1/g, "₂"));
  }

  function forwardLines(st, f) {
    const phi = ACTS.find((a) => a[0] === st.act)[1];
    return BOTH.map((j) => pretty(`z${j} = x0W0${j} + x1W1${j} + b${j} = `) +
      `${times(st.x[0], st.W[0][j])} + ${times(st.x[1], st.W[1][j])} + ${n(st.b[j])} = ${fmt(f.z[j])}，` +
      pretty(`h${j} = ${phi}(z${j}) = `) + fmt(f.h[j])).concat(`ŷ = h₁v₁ + h₂v₂ + c = ${times(f.h[0], st.v[0])} + ${times(f.h[1], st.v[1])} + ${n(st.c)} = ${fmt(f.y)}`,
      `L = ½(ŷ − t)² = ½(${n(f.y)} − ${n(st.t)})² = ${fmt(f.loss)}`);
  }

  /** 反向的 16 步：求的是谁（也是图里写的地方）、值、算式，梯度走过的边。 */
  function plan(st) {
    const f = core.forward(st, st.act), g = core.backward(st, st.act), steps = [];
    const slope = { relu: "ReLU′(z#)", sigmoid: "h#(1 − h#)", tanh: "(1 − h#²)" }[st.act];
    function add(name, value, formula, filled, edges, note) {
      const head = pretty("∂" + name), parts = [head, pretty(formula), filled, fmt(value)];
      steps.push({ name: name, head: head, value: value, edges: edges || [], text: parts.filter(Boolean).join(" = ") + (note || "") });
    }
    add("y", g.y, "y − t", `${n(f.y)} − ${n(st.t)}`, ["L"]);
    BOTH.forEach((k) => add("v" + k, g.v[k], "∂y × h" + k, times(g.y, f.h[k]), ["v" + k]));
    add("c", g.c, "∂y");
    BOTH.forEach((k) => add("h" + k, g.h[k], "∂y × v" + k, times(g.y, st.v[k]), ["v" + k]));
    BOTH.forEach((k) => add("z" + k, g.z[k], `∂h${k} × ${slope.replace(/#/g, k)}`, times(g.h[k], g.slope[k]), [],
      st.act === "relu" && !g.slope[k] ? "（ReLU 关着，到此为止）" : ""));
    BOTH.forEach((j) => BOTH.forEach((i) => add(`W${i}${j}`, g.W[i][j], `∂z${j} × x${i}`, times(g.z[j], st.x[i]), [`W${i}${j}`])));
    BOTH.forEach((k) => add("b" + k, g.b[k], "∂z" + k));
    BOTH.forEach((i) => add("x" + i, g.x[i], `∂z0 × W${i}0 + ∂z1 × W${i}1`,
      times(g.z[0], st.W[i][0]) + " + " + times(g.z[1], st.W[i][1]), [`W${i}0`, `W${i}1`], "（两条路相加）"));
    return steps;
  }

  // ---- 图 ----

  function picture(st, f, done) {
    const last = done[done.length - 1], svg = s("svg", {
      viewBox: "-2 0 474 304", class: "lab-plot", role: "img", "aria-label": "2-2-1 网络，图中的数都列在下面",
    });
    // 太大的用科学记数法，免得出框
    const short = (value) => (Math.abs(value) < 1e4 ? fmt(value) : value.toExponential(2));
    function text(x, y, words, style) {
      svg.append(s("text", { x: x, y: y, "text-anchor": "middle", class: "bp-text" + (style || "") }, words));
    }
    /** 求出的偏导数；刚求出的一个用粗体。 */
    function back(name, x, y, prefix) {
      const step = done.find((item) => item.name === name);
      if (step) text(x, y, `${prefix || ""}← ${short(step.value)}`, " bp-back" + (step === last ? " bp-now" : ""));
    }
    function edge(name, path) {
      svg.append(s("path", { d: path, class: last && last.edges.includes(name) ? "lab-line-2" : "lab-axis" }));
    }
    /** 一个量，下面是它的偏导数。 */
    function label(name, value, x, y) {
      text(x, y, pretty(name) + " = " + +fmt(value));
      back(name, x, y + 15);
    }
    function box(x, y, lines) {
      const half = lines.length * 9 + 4;
      svg.append(s("rect", { x: x - 50, y: y - half, width: 100, height: 2 * half, rx: 6, class: "bp-box" }));
      lines.forEach((line, k) => text(x, y - half + 17 + 18 * k, line));
    }
    const rows = [62, 244];
    BOTH.forEach((i) => {
      BOTH.forEach((j) => edge(`W${i}${j}`, `M100 ${rows[i]}L190 ${rows[j]}`));
      edge("v" + i, `M290 ${rows[i]}L370 152`);
    });
    edge("L", "M420 165V222");
    BOTH.forEach((i) => {
      const y = rows[i];
      box(50, y, [pretty(`x${i} = `) + +fmt(st.x[i])]);
      back("x" + i, 50, y + 29);
      // 斜的两条边，标签靠近左端，避开交叉处
      BOTH.forEach((j) => label(`W${i}${j}`, st.W[i][j], i === j ? 145 : 123, y + (i === j ? -20 : i ? -58 : 41)));
      box(240, y, ["z", "h"].map((name) => pretty(name + i) + " = " + short(f[name][i])));
      label("b" + i, st.b[i], 240, y - 42);
      back("h" + i, 240, y + 38, pretty(`h${i} `));
      back("z" + i, 240, y + 54, pretty(`z${i} `));
      label("v" + i, st.v[i], 330, i ? 198 : 102);
    });
    box(420, 152, ["ŷ = " + short(f.y)]);
    label("c", st.c, 420, 118);
    back("y", 420, 196, "ŷ ");
    box(420, 244, ["L = " + short(f.loss), "t = " + +fmt(st.t)]);
    return svg;
  }

  /** 更新一步会怎样。 */
  function outlook(st, loss) {
    const next = core.update(st, st.act, st.lr), after = core.forward(next, st.act).loss;
    return `九个参数按 η = ${st.lr} 更新一步，` + (inside(next)
      ? `L 由 ${fmt(loss)} 变成 ${fmt(after)}` + (after > loss ? "：步子太大，反而变大。" : "。")
      : `就超出 ±${LIMIT}：发散了，不再更新。`);
  }

  F.lab("backprop", {
    defaults: DEFAULTS,
    check: check,

    build: function (lab) {
      const rows = { "数据": "x.0 x.1 t", "第一层": "W.0.0 W.1.0 b.0 W.0.1 W.1.1 b.1", "第二层": "v.0 v.1 c" };
      Object.keys(rows).forEach((name) => {
        const row = h("div", { class: "lab-row bp-row", role: "group", "aria-label": name }, h("strong", {}, name));
        lab.controls.append(row);
        rows[name].split(" ").forEach((key) => lab.number(key, {
          label: key === "t" ? "目标 t" : pretty(key.replace(/\./g, "")), min: -LIMIT, max: LIMIT, into: row,
        }));
      });
      lab.select("act", { label: "激活函数", choices: ACTS });
      lab.range("lr", { label: "学习率 η", min: 0.01, max: 2, step: 0.01 });
      lab.button("更新一步", () => {
        const next = core.update(lab.state, lab.state.act, lab.state.lr);
        if (inside(next)) lab.set(next);
      });
      Object.keys(CASES).forEach((name) => lab.button(name, () => {
        lab.set(Object.assign({}, DEFAULTS, { step: lab.state.step }, CASES[name]));
      }));
      const go = (label, by) => lab.action(label, () => lab.set({ step: lab.state.step + by }));
      lab.view = h("div");
      lab.ahead = h("ul", { class: "lab-log" });
      lab.log = h("ol", { class: "lab-log" });
      lab.stage.append(lab.view, "前向，从左到右：", lab.ahead,
        h("div", { class: "lab-row" }, "反向，从右到左：", go("上一步", -1), go("下一步", 1), go("全部", STEPS), go("从头", -STEPS)), lab.log);
    },

    draw: function (lab) {
      const st = lab.state, f = core.forward(st, st.act), done = plan(st).slice(0, st.step), last = done[st.step - 1];
      lab.view.replaceChildren(picture(st, f, done));
      lab.ahead.replaceChildren(...forwardLines(st, f).map((line) => h("li", {}, line)));
      lab.log.replaceChildren(...done.map((step) => h("li", { class: step === last ? "lab-on" : null }, step.text)));
      lab.result.textContent = `ŷ = ${fmt(f.y)}，L = ${fmt(f.loss)}；反向第 ${st.step} 步（共 ${STEPS} 步）` +
        (last ? `：${last.head} = ${fmt(last.value)}。` : "。") + outlook(st, f.loss);
    },

    code: function (state) {
      return "import torch\n\n" +
        ["x", "W", "b", "v", "c"].map((key) => `${key} = torch.tensor(${F.py(state[key])}, dtype=torch.float64, requires_grad=True)\n`).join("") +
        `\n\ndef forward():\n    z = x @ W + b\n    h = torch.${state.act}(z)\n    y = h @ v + c\n` +
        `    return z, h, y, (y - ${F.py(state.t)}) ** 2 / 2\n\n\n` +
        "z, h, y, L = forward()\nprint(z, h, y, L)\ngrads = torch.autograd.grad(L, (y, v, c, h, z, W, b, x))\n" +
        "for name, g in zip(\"yvchzWbx\", grads):\n    print(name, g)\n" +
        "with torch.no_grad():  # 更新一步，留六位小数\n    for p, g in zip((v, c, W, b), grads[1:3] + grads[5:7]):\n" +
        `        p.copy_((p - ${state.lr} * g).round(decimals=6))\n` + "print(\"更新后\", W, b, v, c, forward()[-1])\n";
    },
  });
})(Figures);
