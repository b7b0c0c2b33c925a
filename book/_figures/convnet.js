/* 互动图：卷积形状计算器与感受野。 */
(function (F) {
  "use strict";
  const core = F.core.convnet, h = F.h, s = F.s;
  const KINDS = ["卷积", "最大汇聚", "平均汇聚"], MOST = 16; // 至多几层
  // 一行的各项：最小、最大、缺省、名、哪些种类有
  const FIELDS = [
    [0, 2, 0], [1, 31, 3, "核 k", "012"], [1, 8, 1, "步幅 s", "012"], [0, 15, 0, "填充 p", "012"],
    [1, 16, 1, "膨胀 d", "01"], [1, 2048, 1, "输出通道", "0"], [1, 2048, 1, "组数", "0"], [0, 1, 0, "ceil_mode", "12"],
  ];
  const list = (values, make) => values.map(make).join(";");
  const vgg = values => list(values, c => c ? "0,3,1,1,1," + c : "1,2,2"); // 0 是汇聚
  const nin = (first, c) => list([first, "0,1,1,0,1", "0,1,1,0,1"], row => row + "," + c);
  const CASES = {
    "LeNet": "rows=0,5,1,2,1,6;2,2,2;0,5,1,0,1,16;2,2,2",
    "AlexNet": "n=224&rows=0,11,4,1,1,96;1,3,2;0,5,1,2,1,256;1,3,2;" + vgg([384, 384, 256]) + ";1,3,2",
    "VGG-11": "n=224&rows=" + vgg([64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0]),
    "NiN": "n=224&rows=" + [nin("0,11,4,0,1", 96), nin("0,5,1,2,1", 256), nin("0,3,1,1,1", 384), nin("0,3,1,1,1", 10)].join(";1,3,2;"),
    "GoogLeNet 开头": "n=224&rows=0,7,2,3,1,64;1,3,2,1;0,1,1,0,1,64;0,3,1,1,1,192;1,3,2,1",
    "ResNet-18 开头": "n=224&bias=0&rows=0,7,2,3,1,64;1,3,2,1;" + vgg([64, 64]),
    "本书的 SSD": "n=96&bias=0&rows=" + list([16, 32, 64, 64, 64], c => `0,3,2,1,1,${c};0,3,1,1,1,${c}`),
    "膨胀都是 2": "rows=" + list([8, 8, 8], c => "0,3,1,0,2," + c),
    "取整与 ceil_mode": "n=11&rows=1,2,2;1,2,2,0,1,1,1,1;1,2,2,1,1,1,1,1",
  };

  // ---- 状态 ----

  const int = (value, low, high) => Math.max(low, Math.min(high, Math.round(value)));
  const legalRow = row => FIELDS.map(([low, high, spare], k) => k < row.length ? int(+row[k], low, high) : spare);
  const DEFAULTS = { n: 28, c: 1, bias: true, rows: [[]], l: 4, i: 2 };
  Object.assign(DEFAULTS, F.readQuery(CASES.LeNet, DEFAULTS));

  /** 算出的全部；L 是画哪一层：选中的走不通，就画走得通的最后一层（0 是输入）。 */
  function look(st) {
    const all = core.walk(st.rows, st.n, st.c, st.bias), bad = all[all.length - 1].problem;
    const good = bad ? all.slice(0, -1) : all, L = Math.min(st.l, good.length - 1);
    return { all, bad, good, L, at: all[L] };
  }

  function check(st) {
    st.n = int(st.n, 1, 512);
    st.c = int(st.c, 1, 2048);
    st.rows = st.rows.slice(0, MOST).map(legalRow);
    st.l = int(st.l, 1, st.rows.length);
    st.i = int(st.i, 0, look(st).at.n - 1);
    return st;
  }

  /** 改几项，选中第 l 层正中的元素。 */
  function choose(lab, changes) {
    const st = check({ ...lab.state, ...changes });
    lab.set({ ...st, i: Math.floor(look(st).at.n / 2) });
  }

  // ---- 文字 ----

  const big = value => value.toLocaleString("en-US");
  const minus = value => String(value).replace("-", "−");
  const shape = at => `${at.c}×${at.n}×${at.n}`;

  /** 第 l 层为什么走不通。 */
  function complain(st, all, l) {
    const w = core.read(st.rows[l - 1]), { n, c } = all[l - 1];
    return "✗ " + {
      groups: `组数 ${w.groups} 不能整除${c % w.groups ? `输入通道 ${c}` : `输出通道 ${w.out}`}。`,
      padding: `汇聚的填充 ${w.p} 超过核 ${w.k} 的一半，PyTorch 不许。`,
      kernel: `窗口占 ${w.span} 格，填充后的输入只有 ${n + 2 * w.p} 格，一个也放不下。`,
    }[all[l].problem];
  }

  /** 输出边长的公式，填上数。 */
  function formula(row, n, m) {
    const w = core.read(row), [left, right] = w.ceil ? "⌈⌉" : "⌊⌋", value = core.formula(w, n);
    return `${left}(${n}+2×${w.p}−${w.d}×(${w.k}−1)−1)/${w.s}${right}+1 = ${value}` +
      (m < value ? `，末窗全在填充里，不要，剩 ${m}` : "");
  }

  function edge(at) {
    const said = [["丢", at.lost], ["丢填充", at.spare], ["末窗伸出", at.over], ["连空隙共漏", at.unused > at.lost && at.unused]]
      .filter(part => part[1]).map(part => part.join(" ") + " 行");
    return h("span", { class: at.unused ? "lab-bad" : null }, said.join("，") || "不丢");
  }

  function layerTable(lab, all) {
    const st = lab.state;
    const rows = st.rows.map((row, k) => {
      const at = all[k + 1], key = "row" + k;
      const name = lab.action(`${k + 1} ${KINDS[row[0]]}`, () => { choose(lab, { l: k + 1 }); lab.focusHandle(key); });
      name.dataset.key = key;
      name.setAttribute("aria-pressed", st.l === k + 1);
      const cells = !at ? ["前面走不通"] : at.problem ? [h("span", { class: "lab-bad" }, complain(st, all, k + 1))]
        : [formula(row, all[k].n, at.n), edge(at), shape(at), at.r, at.j, minus(at.a), big(at.params), big(at.macs)];
      return [name, ...cells, ..."—".repeat(8 - cells.length)];
    });
    return F.table("输出 C×H×W，感受野 r、跳距 j、起点 a；按层名选中一层",
      ["层", "边长的公式", "丢掉的行", "输出", "r", "j", "a", "参数", "乘加"], rows);
  }

  function summary(st, { all, bad, good, L, at }, used) {
    const from = at.a + st.i * at.j, to = from + at.r - 1, whole = used.length === at.r; // 没有空隙，也没有伸到图外
    const sum = key => big(good.reduce((total, layer) => total + layer[key], 0)), l = good.length;
    return (bad ? `第 ${l} 层走不通：${complain(st, all, l)}` : "") +
      (L ? `第 ${L} 层的输出` : "输入") + `是 ${shape(at)}，r = ${at.r}，j = ${at.j}，a = ${minus(at.a)}。第 ${st.i} 行的元素` +
      `看到输入的第 ${minus(from)} 到 ${minus(to)} 行` + (whole ? "。" : used.length
      ? `，真正用到 ${used[0]} 到 ${used[used.length - 1]} 之间的 ${used.length} 行。` : "，全在填充里，什么也看不到。") +
      `${bad ? "走得通的" : "全部"} ${l - 1} 层共有参数 ${sum("params")}，乘加 ${sum("macs")}。`;
  }

  // ---- 画面 ----

  /** 连着的编号并成一段：[头, 尾+1]。 */
  function runs(used) {
    const starts = used.filter((t, k) => used[k - 1] !== t - 1), ends = used.filter((t, k) => used[k + 1] !== t + 1);
    return starts.map((t, k) => [t, ends[k] + 1]);
  }

  /** 扇形：最上面是选中的元素，最下面是输入；第 t 个元素画在它的感受野的正中，宽一个跳距。 */
  function fan(st, { all, L, at }, used) {
    const margin = st.n / 8 + 1, u = 270 / (st.n + 2 * margin); // 两边留出填充的地方
    const place = v => 84 + Math.max(0, Math.min(270, (v + margin) * u));
    const rect = (from, to, y, height, style) => s("rect", { x: from, y, width: Math.max(1, to - from), height, class: style });
    const svg = s("svg", {
      viewBox: `0 0 360 ${24 * L + 22}`, class: "lab-plot", role: "img",
      "aria-label": `第 ${L} 层第 ${st.i} 行的元素，逐层往下用到的元素`,
    });
    let above = [];
    for (let l = L; l >= 0; l--) {
      const { n, r, j, a } = all[l], y = 24 * (L - l) + 2, start = t => place(a + (r - j) / 2 + t * j), parts = runs(used[l]);
      const ends = parts.length ? [start(parts[0][0]), start(parts[parts.length - 1][1])] : [];
      let marks = `M${start(0)} ${y}H${start(n)}V${y + 12}H${start(0)}Z`;
      for (let t = 1; t < n && j * u >= 4; t++) marks += `M${start(t)} ${y}v12`; // 太密就不画格线
      ends.forEach((x, k) => { if (above.length) marks += `M${above[k]} ${y - 12}L${x} ${y}`; });
      svg.append(s("text", { x: 0, y: y + 10 }, l ? `${l} ${KINDS[st.rows[l - 1][0]].slice(0, 2)} ${n}` : `输入 ${n}`),
        ...parts.map(([from, to]) => rect(start(from), start(to), y, 12, l === L ? "lab-fill-2" : "lab-fill-1")),
        s("path", { d: marks, class: "lab-axis" }));
      above = ends;
    }
    const from = at.a + st.i * at.j; // 按公式的窗口
    svg.append(rect(place(from), place(from + at.r), 24 * L - 1, 18, "lab-line-2"));
    return svg;
  }

  // ---- 控件 ----

  /** 改选中一层的控件：键 "1" 是 rows 里选中一行的第 1 项。 */
  function editor(lab) {
    const title = h("strong"), into = h("div", { class: "lab-row", role: "group", "aria-label": "改选中的一层" }, title);
    const own = Object.assign(Object.create(lab), {
      get: key => lab.state.rows[lab.state.l - 1][key],
      put: (key, value) => lab.put(`rows.${lab.state.l - 1}.${key}`, value),
    });
    lab.syncs.push(() => { title.textContent = `第 ${lab.state.l} 层`; });
    own.select("0", { label: "种类", choices: KINDS.map((name, k) => [k, name]), into });
    FIELDS.forEach(([min, max, , label, kinds], k) => {
      if (!kinds) return;
      const field = own[max === 1 ? "checkbox" : "number"](String(k), { label, min, max, step: 1, into });
      lab.syncs.push(() => { field.querySelector("input").disabled = !kinds.includes(own.get(0)); });
    });
    return into;
  }

  /** 增、删、移动一层的按钮；做完返回选中第几层（从 0 数）。 */
  function rowButtons(lab) {
    const swap = by => (rows, k) => {
      if (!rows[k + by]) return k;
      [rows[k], rows[k + by]] = [rows[k + by], rows[k]];
      return k + by;
    };
    const add = (rows, k) => { // 3×3、填充 1、通道不变：总走得通
      if (rows.length === MOST) return k;
      const { good } = look(lab.state);
      rows.splice(k + 1, 0, legalRow([0, 3, 1, 1, 1, good[Math.min(k + 1, good.length - 1)].c]));
      return k + 1;
    };
    const remove = (rows, k) => {
      if (rows.length > 1) rows.splice(k, 1);
      return k - 1;
    };
    const changes = { "后面加一层": add, "删去这一层": remove, "上移": swap(-1), "下移": swap(1) };
    return h("div", { class: "lab-row" }, ...Object.keys(changes).map(name => lab.action(name, () => {
      const rows = lab.state.rows.slice();
      choose(lab, { l: changes[name](rows, lab.state.l - 1) + 1, rows });
    })));
  }

  // ---- 代码 ----

  function layerCode(row, c, bias) {
    const w = core.read(row), option = (name, value, usual) => value === usual ? "" : `, ${name}=${F.py(value)}`;
    return `nn.${["Conv2d", "MaxPool2d", "AvgPool2d"][w.kind]}(${w.conv ? `${c}, ${w.out}, ` : ""}${w.k}` +
      option("stride", w.s, w.conv ? 1 : w.k) + option("padding", w.p, 0) + option("dilation", w.d, 1) +
      (w.conv ? option("groups", w.groups, 1) + option("bias", bias, true) : option("ceil_mode", w.ceil, false)) + ")";
  }

  function code(st) {
    const { good, L } = look(st);
    const lines = good.slice(0, st.rows.length).map((at, k) =>
      `    ${k < good.length - 1 ? "" : "# 走不通："}${layerCode(st.rows[k], at.c, st.bias)},\n`);
    const windows = st.rows.slice(0, L).map(core.read).map(w => `(${w.k}, ${w.s}, ${w.p}, ${w.d})`);
    return `from torch import nn
from d2lcore import summarize

net = nn.Sequential(
${lines.join("")})
table = summarize(net, (${st.c}, ${st.n}, ${st.n}))
print(table)

windows = [${windows.join(", ")}]  # 前 ${L} 层的 k、s、p、d
r, j, a = 1, 1, 0
for k, s, p, d in windows:
    r, j, a = r + d * (k - 1) * j, j * s, a - p * j
i, used = ${st.i}, {${st.i}}  # 从后往前，各层用到的元素
for (k, s, p, d), n in reversed(list(zip(windows, [${st.n}, *(row.shape[-1] for row in table.rows)]))):
    used = {s * t - p + d * u for t in used for u in range(k)} & set(range(n))
print("r, j, a:", r, j, a, "；按公式", a + i * j, "到", a + i * j + r - 1, "；用到", sorted(used))
`;
  }

  F.lab("convnet", {
    defaults: DEFAULTS, check, code,

    build: function (lab) {
      Object.keys(CASES).forEach(name => lab.button(name, () =>
        choose(lab, { ...DEFAULTS, l: MOST, ...F.readQuery(CASES[name], DEFAULTS) })));
      lab.number("n", { label: "输入的边长", min: 1, max: 512, step: 1 });
      lab.number("c", { label: "输入通道", min: 1, max: 2048, step: 1 });
      lab.checkbox("bias", { label: "卷积带偏置" });
      Object.assign(lab, { table: h("div"), view: h("div") });
      lab.stage.append(lab.table, editor(lab), rowButtons(lab));
      let field = null; // 上限随层变：先改上限，再由 lab.range 写值
      lab.syncs.push(() => { field.querySelector("input").max = look(lab.state).at.n - 1; });
      field = lab.range("i", { label: "看这一层第几行的元素", min: 0, max: 511, step: 1, digits: 0, into: lab.stage });
      lab.stage.append(lab.view, h("p", {},
        "橙的是选中的元素，蓝的是逐层往下真正用到的，最下面是输入；虚线是按公式的窗口，可以伸到图外。"));
    },

    draw: function (lab) {
      const st = lab.state, seen = look(st), used = core.trace(st.rows.slice(0, seen.L), st.n, st.i);
      lab.table.replaceChildren(layerTable(lab, seen.all));
      lab.view.replaceChildren(fan(st, seen, used));
      lab.result.textContent = summary(st, seen, used[0]);
    },
  });
})(Figures);
