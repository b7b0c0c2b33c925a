/* 互动图：softmax 与交叉熵。 */
(function (F) {
  "use strict";
  var core = F.core.softmax, h = F.h, s = F.s, fmt = F.fmt;
  var NAMES = ["类 0", "类 1", "类 2", "类 3", "类 4"];

  /** 一根带正负的横条：中线在 zero 处，value 以 unit 像素为 1。 */
  function bar(value, zero, unit, width, style) {
    var length = Math.max(-zero, Math.min(width - zero, value * unit));
    return s("svg", { viewBox: "0 0 " + width + " 16", class: "lab-bar", "aria-hidden": "true" },
      s("rect", { x: Math.min(zero, zero + length), y: 2, width: Math.abs(length), height: 12, class: style }),
      s("line", { x1: zero, x2: zero, y1: 0, y2: 16, class: "lab-axis" }));
  }

  F.lab("softmax", {
    defaults: { z: [2, 1, 0.1], y: 0, T: 1, c: 0, lr: 1 },

    check: function (state) {
      state.z = state.z.slice(0, 5).map(function (z) { return Math.max(-200, Math.min(200, z)); });
      if (state.z.length < 2) state.z = [2, 1, 0.1];
      state.y = Math.max(0, Math.min(state.z.length - 1, Math.round(state.y)));
      state.T = Math.max(0.1, Math.min(10, state.T));
      return state;
    },

    build: function (lab) {
      lab.logits = h("div", { class: "lab-row" });
      lab.controls.append(lab.logits);
      NAMES.forEach(function (name, k) {
        var field;
        // 超出当前类数的框藏起来
        field = lab.number("z." + k, { label: "得分 z" + k, min: -200, max: 200, step: 0.1, into: null });
        lab.logits.append(field);
        lab.syncs.push(function () { field.hidden = k >= lab.state.z.length; });
      });
      lab.select("y", { label: "真实的类别", choices: NAMES.map(function (name, k) { return [k, name]; }) });
      lab.range("T", { label: "温度 T", min: 0.1, max: 5, step: 0.1, digits: 1 });
      lab.range("c", { label: "全部得分加上 c", min: -100, max: 100, step: 1, digits: 0 });
      lab.range("lr", { label: "学习率 η", min: 0.1, max: 5, step: 0.1, digits: 1 });
      lab.button("走一步梯度下降", function () {
        var g = core.gradient(shifted(lab.state), lab.state.y), st = lab.state;
        lab.set({ z: st.z.map(function (z, k) { return +(z - st.lr * g[k] / st.T).toFixed(6); }) });
      });
      lab.button("得分乘 10", function () {
        lab.set({ z: lab.state.z.map(function (z) { return z * 10; }) });
      });
      lab.button("多一类", function () { lab.set({ z: lab.state.z.concat([0]) }); });
      lab.button("少一类", function () {
        if (lab.state.z.length > 2) lab.set({ z: lab.state.z.slice(0, -1) });
      });
    },

    draw: function (lab) {
      var z = shifted(lab.state), y = lab.state.y;
      var p = core.softmax(z), g = core.gradient(z, y), naive = core.naive32(z, y);
      var rows = z.map(function (value, k) {
        return [NAMES[k] + (k === y ? "（真）" : ""), fmt(value, 2), fmt(p[k]),
          bar(p[k], 2, 96, 100, "lab-fill-1"), h("span", { class: Number.isNaN(naive.p[k]) ? "lab-bad" : null }, fmt(naive.p[k])),
          fmt(g[k]), bar(g[k], 50, 48, 100, "lab-fill-2")];
      });
      lab.stage.replaceChildren(F.table("得分、概率与梯度",
        ["", "(z+c)/T", "概率 p", "", "直接算的 p", "梯度 p−y", ""], rows));
      lab.result.textContent = "交叉熵 −ln p = " + fmt(core.crossEntropy(z, y)) +
        "；用 float32 照公式直接算得 " + fmt(naive.loss) + "；梯度之和 " + fmt(g.reduce(function (a, b) { return a + b; }, 0)) + "。";
    },

    code: function (state) {
      return "import torch\nfrom torch.nn import functional as F\n\n" +
        "z = torch.tensor(" + F.py(state.z) + ", requires_grad=True)\n" +
        "scores = (z + " + F.py(state.c) + ") / " + F.py(state.T) + "\n" +
        "loss = F.cross_entropy(scores[None], torch.tensor([" + state.y + "]))\n" +
        "grad, = torch.autograd.grad(loss, scores)\n" +
        "print(scores.softmax(dim=0), loss, grad)\n" +
        "print(scores.exp() / scores.exp().sum())  # 照公式直接算\n";
    },
  });

  function shifted(state) {
    return state.z.map(function (z) { return (z + state.c) / state.T; });
  }
})(Figures);
