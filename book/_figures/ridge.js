/* 互动图：过拟合与权重衰减。 */
(function (F) {
  "use strict";
  const core = F.core.ridge, h = F.h, s = F.s, fmt = F.fmt, N = 12;
  const X = Array.from({ length: N }, (_, k) => -1 + 2 * k / (N - 1));
  const FINE = Array.from({ length: 201 }, (_, k) => -1 + k / 100);
  const LAMS = Array.from({ length: 37 }, (_, k) => +Math.pow(10, k / 4 - 8).toPrecision(3));
  const DEFAULTS = { y: core.sample(X, 43), v: [0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0], d: 9, lam: 1e-8, zero: false, seed: 43 };
  const lambda = st => (st.zero ? 0 : st.lam);
  const clamp = (v, low, high) => Math.max(low, Math.min(high, v));

  function check(st) {
    st.y = (st.y.length === N ? st.y : DEFAULTS.y).map(v => clamp(+v.toFixed(2), -2.5, 2.5));
    st.v = st.v.length === N ? st.v.map(v => +!!v) : DEFAULTS.v;
    if (st.v.every(Boolean)) st.v[0] = 0; // 至少要有一个训练点
    st.d = clamp(Math.round(st.d), 0, 12);
    st.lam = +clamp(st.lam, 1e-8, 10).toPrecision(3);
    st.seed = clamp(Math.round(st.seed), 1, 1000);
    return st;
  }

  /** 训练（0）或验证（1）的点。 */
  function part(st, which) {
    const mine = values => values.filter((_, k) => st.v[k] === which);
    return [mine(X), mine(st.y)];
  }

  function solve(st, lam) {
    const train = part(st, 0), model = core.fit(train[0], train[1], st.d, lam);
    return model && { lam, model, train: core.mse(model, ...train), valid: core.mse(model, ...part(st, 1)) };
  }

  /** 各个 λ 的误差，与其中验证误差最小的（没有验证点时是 null）。 */
  function sweep(st) {
    const all = LAMS.map(lam => solve(st, lam));
    return { all, best: st.v.some(Boolean) ? all.reduce((a, b) => (b.valid < a.valid ? b : a)) : null };
  }

  // ---- 画面 ----

  /** 坐标框：x、y 是 [最小, 最大, 各个刻度, 名字]；inner 是裁掉框外的画布。 */
  function chart(height, role, label, x, y) {
    const left = 34, top = 8, width = 330;
    const at = {
      x: v => left + (v - x[0]) / (x[1] - x[0]) * width, y: v => top + (y[1] - v) / (y[1] - y[0]) * height,
      inner: s("svg", { x: left, y: top, width, height, viewBox: [left, top, width, height].join(" ") }),
      svg: s("svg", { viewBox: "0 0 376 " + (height + 48), class: "lab-plot", role, "aria-label": label }),
    };
    x[2].forEach(v => at.svg.append(s("path", { d: "M" + at.x(v) + " " + top + "v" + height, class: "lab-grid" }),
      s("text", { x: at.x(v), y: top + height + 16, "text-anchor": "middle" }, v)));
    y[2].forEach(v => at.svg.append(s("path", { d: "M" + left + " " + at.y(v) + "h" + width, class: "lab-grid" }),
      s("text", { x: left - 6, y: at.y(v) + 4, "text-anchor": "end" }, v)));
    at.svg.append(at.inner, s("text", { x: left + width / 2, y: height + 42, "text-anchor": "middle" }, x[3]));
    at.line = (xs, ys, style) => at.inner.append(s("polyline", { points: xs.map((v, k) => at.x(v) + "," + at.y(clamp(ys[k], -99, 99))).join(" "), class: style }));
    return at;
  }

  function curve(lab, now) {
    const st = lab.state, at = chart(210, "group", "数据点与拟合的曲线", [-1.1, 1.1, [-1, 0, 1], "x"], [-2.5, 2.5, [-2, -1, 0, 1, 2]]);
    at.line(FINE, FINE.map(x => Math.sin(Math.PI * x)), "lab-line-3");
    if (now) at.line(FINE, core.predict(now.model, FINE), "lab-line-1");
    const unit = at.y(0) - at.y(1);
    st.y.forEach((y, k) => {
      const mark = lab.handle(at.svg, "p" + k, {
        label: "第 " + (k + 1) + " 点（" + (st.v[k] ? "验证" : "训练") + "）的 y", text: fmt(y, 2), now: y, x: at.x(X[k]), y: at.y(y), step: unit / 20, r: 7,
        move: (_, to) => lab.put("y." + k, (at.y(0) - to) / unit),
      });
      if (!st.v[k]) return;
      mark.classList.add("ridge-valid");
      at.svg.append(s("text", { x: at.x(X[k]) + 9, y: at.y(y) - 8 }, "验"));
    });
    return at.svg;
  }

  function errors(st, found) {
    const lg = found.all.map(e => Math.log10(e.lam)), log = e => Math.log10(Math.max(e, 1e-9));
    const at = chart(140, "img", "λ 与训练、验证误差", [-8, 1, [-8, -6, -4, -2, 0], "lg λ（纵轴是 lg 均方误差；实线训练，虚线验证）"], [-3, 2, [-3, -2, -1, 0, 1, 2]]);
    const upright = (lam, style, name, y) => {
      const x = Math.log10(lam);
      at.line([x, x], [-3, 2], style);
      at.inner.append(s("text", { x: at.x(x) + (x < -1 ? 4 : -4), y, "text-anchor": x < -1 ? "start" : "end" }, name));
    };
    at.line(lg, found.all.map(e => log(e.train)), "lab-line-1");
    if (!st.zero) upright(st.lam, "lab-axis", "现在", 20);
    if (found.best) {
      at.line(lg, found.all.map(e => log(e.valid)), "lab-line-2");
      upright(found.best.lam, "lab-line-4", "★ 验证误差最小", 36);
    }
    return at.svg;
  }

  function weights(now) {
    const rows = now ? now.model.w.map((w, k) => {
      const long = Math.min(100, 25 * Math.log10(1 + Math.abs(w)));
      return ["w" + (k + 1), fmt(w), s("svg", { viewBox: "0 0 100 16", class: "lab-bar", "aria-hidden": "true" }, s("rect", { y: 2, width: long, height: 12, class: "lab-fill-1" }))];
    }) : [];
    return F.table("系数（条长按 lg(1 + |w|)）", ["", "值", "大小"], [["b（不罚）", now ? fmt(now.model.b) : "—", ""]].concat(rows));
  }

  function summary(st, now, best) {
    const lam = lambda(st), n = st.v.filter(v => !v).length, size = Math.sqrt((now ? now.model.w : []).reduce((a, w) => a + w * w, 0));
    const head = st.d + " 次多项式，" + n + " 个训练点，λ = " + lam + "：";
    return head + (now
      ? "训练的均方误差 " + fmt(now.train) + (best ? "，验证的 " + fmt(now.valid) : "，没有验证点") + "，‖w‖ = " + fmt(size) + "。"
      : "要定 " + st.d + " 个系数和一个偏置，训练点太少，没有唯一解；λ 只要大于 0 就有。") +
      (best ? "验证误差最小的 λ 是 " + best.lam + "，误差 " + fmt(best.valid) + "。" : "");
  }

  F.lab("ridge", {
    defaults: DEFAULTS,
    check,

    build(lab) {
      lab.range("d", { label: "次数 d", min: 0, max: 12, step: 1, digits: 0 });
      const field = lab.range("lam", { label: "λ", min: -8, max: 1, step: 0.25, scale: "log" }), slider = field.querySelector("input");
      slider.addEventListener("input", () => lab.set({ zero: false }));
      lab.syncs.push(() => {
        const text = lambda(lab.state); // 跨九个数量级，不用定点的写法
        field.querySelector("output").textContent = text;
        slider.setAttribute("aria-valuetext", text);
      });
      lab.checkbox("zero", { label: "λ 恰好是 0" });
      lab.button("欠拟合：1 次", () => lab.set({ d: 1, lam: 1e-8, zero: false }));
      lab.button("过拟合：9 次", () => lab.set({ d: 9, lam: 1e-8, zero: false }));
      lab.button("取验证误差最小的 λ", () => {
        const best = sweep(lab.state).best;
        if (best) lab.set({ lam: best.lam, zero: false });
      });
      lab.button("换一批噪声", () => {
        const seed = lab.state.seed % 1000 + 1;
        lab.set({ seed, y: core.sample(X, seed) });
      });
      const row = h("div", { class: "lab-row", role: "group", "aria-label": "留作验证的点" }, "留作验证的点：");
      X.forEach((_, k) => lab.checkbox("v." + k, { label: k + 1, into: row }));
      lab.controls.append(row);
      lab.view = h("div", { class: "lab-row" });
      lab.stage.append(h("p", {}, "实线是拟合的曲线，使 (1/2n)·Σ(ŷ−y)² + (λ/2)·‖w‖² 最小；点线是造数据用的 sin(πx)；“验”是验证点。上下拖点，或用 ↑、↓。"), lab.view);
    },

    draw(lab) {
      const st = lab.state, now = solve(st, lambda(st)), found = sweep(st);
      lab.view.replaceChildren(curve(lab, now), errors(st, found), weights(now));
      lab.result.textContent = summary(st, now, found.best);
    },

    code(st) {
      return "import torch\n\n" +
        "x = torch.linspace(-1, 1, " + N + ", dtype=torch.float64)\n" +
        "y = torch.tensor(" + F.py(st.y) + ", dtype=torch.float64)\n" +
        "valid = torch.tensor(" + F.py(st.v) + ").bool()\n" +
        "d, lam = " + st.d + ", " + lambda(st) + "\n" +
        "X = x[:, None] ** torch.arange(1, d + 1)\n" +
        "A, t = X[~valid], y[~valid]\n" +
        "A, t = A - A.mean(0), t - t.mean()  # 中心化，偏置就不受惩罚\n" +
        (st.zero
          ? "print(\"秩\", torch.linalg.matrix_rank(A).item(), \"系数\", d)  # 秩小于系数的个数，解就不唯一\n" +
            "w = torch.linalg.lstsq(A, t[:, None]).solution[:, 0]\n"
          : "S, c = A.T @ A / len(t), A.T @ t / len(t)\n" +
            "w = torch.linalg.solve(S + lam * torch.eye(d, dtype=x.dtype), c)\n") +
        "b = y[~valid].mean() - X[~valid].mean(0) @ w\n" +
        "error = (b + X @ w - y) ** 2\n" +
        "print(b, w, w.norm(), error[~valid].mean(), error[valid].mean())\n";
    },
  });
})(Figures);
