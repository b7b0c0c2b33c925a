/* 互动图：批量规范化的训练与预测，以及层规范化。 */
(function (F) {
  "use strict";
  const core = F.core.batchnorm, h = F.h, fmt = F.fmt, FEATURES = [0, 1, 2], HEAD = ["", "特征 1", "特征 2", "特征 3"];
  // 特征 1 是课文手算的四个数；特征 3 是特征 2 的 100 倍
  const DEFAULTS = {
    X: [[0, 1, 100], [2, 2, 200], [2, 3, 300], [8, 4, 400]], gamma: [1, 1, 1], beta: [0, 0, 0], eps: 1e-5, m: 0.1,
    mode: "train", ln: false, B: 4, k: 0, rm: [0, 0, 0], rv: [1, 1, 1], seen: 0, seed: 1,
  };
  const BOUNDS = { eps: [1e-6, 10], m: [0, 1], k: [0, 2], rv: [0, 1e7], seen: [0, 1e6], seed: [0, 4294967295] };

  /** 与 like 同形的数，截到 low 与 high 之间；形状不对就用 like。 */
  function legal(value, like, low, high) {
    if (!Array.isArray(like)) return Math.max(low, Math.min(high, +value.toFixed(6)));
    if (!Array.isArray(value) || value.length !== like.length) value = like;
    return like.map((item, k) => legal(value[k], item, low, high));
  }

  function check(state) {
    ["X", "gamma", "beta", "rm"].concat(Object.keys(BOUNDS)).forEach((key) => {
      state[key] = legal(state[key], DEFAULTS[key], ...(BOUNDS[key] || [-1000, 1000]));
    });
    ["seen", "seed", "k"].forEach((key) => { state[key] = Math.floor(state[key]); });
    if (![1, 2, 4].includes(state.B)) state.B = 4;
    if (state.mode !== "eval") state.mode = "train";
    return state;
  }

  /** 算出要画的：各组数（一列；层规范化时一行）、各组的统计量、规范化用的统计量、结果、写算式的是第几组。 */
  function look(st) {
    const X = st.X.slice(0, st.B), training = st.mode === "train" && !st.ln;
    const groups = st.ln ? X : core.columns(X), stats = groups.map(core.moments);
    return {
      training: training, groups: groups, stats: stats, at: Math.min(st.k, groups.length - 1),
      used: training || st.ln ? stats : st.rm.map((mu, k) => ({ mean: mu, var: st.rv[k] })),
      done: st.ln ? { y: core.layerNorm(X, st) } : core.batchNorm(X, st, training),
    };
  }

  // ---- 文字 ----

  function n(value) {
    const text = String(+fmt(value));
    return text[0] === "-" ? `(${text})` : text;
  }

  function formulas(st, now) {
    const at = now.at, done = now.done, values = now.groups[at], size = values.length, s = now.stats[at], used = now.used[at];
    if (!done) {
      return ["PyTorch 在这里报 ValueError：训练时每个通道要不止一个数（Expected more than 1 value per channel when training）。",
        "只有一个数，x − μ 恒为 0，输出恒为 β，与输入无关；无偏方差要除以 n − 1 = 0。改成预测模式或层规范化就能算。"];
    }
    const j = st.ln ? 0 : at, moving = (name, key, value) =>
      `存的${name} ← (1 − ${st.m})×${n(st[key][at])} + ${st.m}×${n(value)} = ${fmt(done[key][at])}`;
    return (used === s ? [
      `μ = (${values.map(n).join(" + ")})/${size} = ${fmt(s.mean)}`,
      `σ² = (${values.map((v) => n(v - s.mean) + "²").join(" + ")})/${size} = ${fmt(s.var)}（规范化用它，除以 n）`,
    ] : ["预测：μ、σ² 用存的均值与方差，不看这一批，也不改它们。"]).concat(
      `第一个数：y = γ(x − μ)/√(σ² + ε) + β = ${n(st.gamma[j])}×(${n(values[0])} − ${n(used.mean)})/√(${n(used.var)} + ${st.eps}) + ` +
        `${n(st.beta[j])} = ${fmt(done.y[st.ln ? at : 0][j])}`,
      now.training ? [`无偏方差 = ${n(s.var)}×${size}/${size - 1} = ${fmt(s.unbiased)}（存它，除以 n − 1）`,
        moving("均值", "rm", s.mean), moving("方差", "rv", s.unbiased)] : []);
  }

  function summary(st, now) {
    const at = now.at, done = now.done;
    const name = (st.ln ? "层规范化，样本 " : `${now.training ? "训练" : "预测"}，批量大小 ${st.B}，特征 `) + (at + 1);
    if (!done) return name + "：报 ValueError，什么也没有改。";
    return `${name}：输出 ${(st.ln ? done.y : core.columns(done.y))[at].map((v) => fmt(v)).join("、")}；` +
      (st.ln ? "训练与预测算法相同，不存统计量。" : `已训练 ${st.seen} 批，存的均值 ${fmt(st.rm[at])}、方差 ${fmt(st.rv[at])}` +
        (now.training ? `，再训练这一批，变成 ${fmt(done.rm[at])}、${fmt(done.rv[at])}。` : "。"));
  }

  function statistics(st, now) {
    const row = (name, values) => [name].concat(values.map((v) => (v == null ? "—" : fmt(v))));
    const rows = [row("现算的 μ", now.stats.map((s) => s.mean)), row("现算的 σ²", now.stats.map((s) => s.var))];
    if (st.ln) return F.table("每个样本的统计量", [""].concat(now.groups.map((g, i) => "样本 " + (i + 1))), rows);
    return F.table(`统计量（已训练 ${st.seen} 批）`, HEAD, rows.concat([
      row("现算的无偏方差", now.stats.map((s) => s.unbiased)), row("存的均值", st.rm), row("存的方差", st.rv),
      row("总体的均值", core.CENTER), row("总体的方差", core.HALF.map((half) => half * half / 3)),
    ]));
  }

  F.lab("batchnorm", {
    defaults: DEFAULTS,
    check: check,

    build: function (lab) {
      lab.select("mode", { label: "模式", choices: [["train", "训练 train()"], ["eval", "预测 eval()"]] });
      lab.checkbox("ln", { label: "层规范化（LN）" });
      [1, 2, 4].forEach((B) => lab.button("批量大小 " + B, () => lab.set({ B: B })));
      lab.range("m", { label: "动量 m", min: 0, max: 1, step: 0.05 });
      lab.number("eps", { label: "ε", min: 1e-6, max: 10 });
      lab.select("k", { label: "写出第几个特征（LN 时：样本）的算式", choices: FEATURES.map((k) => [k, k + 1]) });
      [1, 50].forEach((times) => lab.button(`再来${times > 1 ? " 50 " : "一"}批`, () => {
        const st = lab.state, now = look(st), more = now.training && now.done ? times : 0;
        lab.set(Object.assign(core.feed(st.X, st.seed, st, st.B, now.training, times), { seen: st.seen + more }));
      }));
      const cell = (key, label, more) => h("div", {}, lab.number(key, { label: label, hidden: true, min: -1000, max: 1000, into: null }), more);
      lab.cells = DEFAULTS.X.map(() => FEATURES.map(() => h("span")));
      const row = (name, key, outputs) => [name].concat(FEATURES.map((k) => cell(`${key}.${k}`, `${name}，特征 ${k + 1}`, outputs && outputs[k])));
      const input = F.table("小批量与参数，都可以改；箭头后面是输出", HEAD,
        lab.cells.map((outputs, i) => row("样本 " + (i + 1), "X." + i, outputs)).concat([row("γ", "gamma"), row("β", "beta")]));
      input.classList.add("bn-in");
      lab.syncs.push(() => lab.cells.forEach((outputs, i) => { outputs[0].closest("tr").hidden = i >= lab.state.B; }));
      lab.lines = h("ul", { class: "lab-log" });
      lab.below = h("div");
      lab.stage.append(input, lab.lines, lab.below);
    },

    draw: function (lab) {
      const st = lab.state, now = look(st);
      lab.cells.slice(0, st.B).forEach((outputs, i) => outputs.forEach((span, k) => {
        const on = (st.ln ? i : k) === now.at; // 一起统计的那些数
        span.className = on ? "lab-on" : "";
        span.textContent = (on ? "⇒ " : "→ ") + (now.done ? fmt(now.done.y[i][k]) : "报错");
      }));
      lab.lines.replaceChildren(...formulas(st, now).map((line) => h("li", {}, line)));
      lab.below.replaceChildren(statistics(st, now));
      lab.result.textContent = summary(st, now);
    },

    code: function (state) {
      const ln = state.ln, put = (name, values) => `    layer.${name}.copy_(torch.tensor(${F.py(values)}))\n`;
      return "import torch\nfrom torch import nn\n\ntorch.set_default_dtype(torch.float64)\ntorch.set_printoptions(sci_mode=False)\n" +
        `X = torch.tensor(${F.py(state.X.slice(0, state.B))}).double()\n` +
        `layer = nn.${ln ? "LayerNorm" : "BatchNorm1d"}(3, eps=${state.eps}${ln ? "" : ", momentum=" + state.m})\n` +
        `layer.${state.mode}()\nwith torch.no_grad():\n` + put("weight", state.gamma) + put("bias", state.beta) +
        (ln ? "" : put("running_mean", state.rm) + put("running_var", state.rv)) +
        (look(state).done ? "print(layer(X).detach())\n" : "try:\n    layer(X)\nexcept ValueError as error:\n    print(error)\n") +
        (ln ? "" : "print(layer.running_mean, layer.running_var)\n");
    },
  });
})(Figures);
