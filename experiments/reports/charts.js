"use strict";

const page = JSON.parse(document.getElementById("panels").textContent);
const place = `jaxnn:${location.pathname}:`;
const DASHES = [[], [8, 4], [2, 3], [8, 3, 2, 3], [14, 4], [4, 4, 1, 4]];
for (const element of document.querySelectorAll(".without-script")) element.hidden = true;
document.querySelector(".charts").hidden = false;
const figures = [...document.querySelectorAll(".chart")];
const smoothing = document.getElementById("smoothing");
let charts = [];

/** Remember a setting of this page, so that it is the same after the page is loaded again. */
function remember(name, value) {
  try { sessionStorage.setItem(place + name, JSON.stringify(value)); } catch { /* the browser stores nothing */ }
}
function remembered(name, otherwise) {
  try { return JSON.parse(sessionStorage.getItem(place + name)) ?? otherwise; } catch { return otherwise; }
}

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const short = (value) => (value === 0 ? "0" : Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3
  ? value.toExponential(3) : String(Number(value.toPrecision(4))));
const whole = (value) => (Number.isInteger(value) ? String(value) : "");

/** Exponential moving average, without the bias towards the first values; gaps stay gaps. */
function smoothed(values, weight) {
  if (weight === 0) return values;
  let sum = 0;
  let total = 0;
  return values.map((value) => {
    if (value == null) return value;
    sum = weight * sum + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return sum / total;
  });
}

/** The values of each line at all steps of any of them, first those of the file, then those that are drawn. */
function columns(panel, log, weight) {
  const tables = panel.lines.map(({ xs, ys }) => [xs, log ? ys.map((y) => (y > 0 ? y : null)) : ys]);
  const raw = uPlot.join(tables);
  const drawn = uPlot.join(tables.map(([xs, ys]) => [xs, smoothed(ys, weight)]));
  return [raw, drawn];
}

/** The last number of a line, and its best, for when no step is pointed at. */
function summary(line, best) {
  const numbers = line.ys.map((y, i) => [y, line.xs[i]]).filter(([y]) => y != null);
  if (!numbers.length) return "no finite value";
  const [last] = numbers[numbers.length - 1];
  if (!best) return `last ${short(last)}`;
  const [y, x] = numbers.reduce((a, b) => ((best === "min" ? b[0] < a[0] : b[0] > a[0]) ? b : a));
  return `last ${short(last)}, best ${short(y)} at ${x}`;
}

/** The index of a line's value at or next to a step: lines need not have the same steps. */
function nearest(u, series, index) {
  const values = u.data[series];
  if (values[index] != null || series === 0) return index;
  const xs = u.data[0];
  let [before, after] = [index, index];
  while (before >= 0 && values[before] == null) before--;
  while (after < xs.length && values[after] == null) after++;
  if (before < 0) return after < xs.length ? after : null;
  if (after >= xs.length) return before;
  return xs[index] - xs[before] <= xs[after] - xs[index] ? before : after;
}

function drawFaint(u, raw) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.globalAlpha = 0.25;
  u.series.slice(1).forEach((series, i) => {
    if (!series.show) return;
    ctx.beginPath();
    raw[i + 1].forEach((y, j) => {
      if (y != null) ctx.lineTo(u.valToPos(raw[0][j], "x", true), u.valToPos(y, "y", true));
    });
    ctx.strokeStyle = series.stroke(u, i + 1);
    ctx.lineWidth = devicePixelRatio;
    ctx.stroke();
  });
  ctx.restore();
}

function makeChart(figure, number) {
  const panel = page[number];
  const name = `${panel.title}/${panel.y}/`;
  const box = figure.querySelector(".plot");
  const switchLog = figure.querySelector(".log");
  const weight = Number(smoothing.value);
  const log = switchLog.checked;
  const [raw, drawn] = columns(panel, log, weight);
  const hidden = remembered(`${name}hidden`, []);
  const axis = { stroke: () => css("--quiet"), grid: { stroke: () => css("--grid"), width: 1 }, ticks: { stroke: () => css("--grid"), width: 1 } };
  const lines = panel.lines.map((line) => ({
    label: line.name,
    show: !hidden.includes(line.name),
    stroke: () => css(`--c${line.color}`),
    width: line.width,
    dash: DASHES[line.dash % DASHES.length],
    points: { show: line.xs.length < 3, size: 6, fill: () => css(`--c${line.color}`) },
    value: (u, value, series, index) => (index == null || value == null ? summary(line, panel.best) : short(value)),
  }));
  const size = () => ({ width: box.clientWidth, height: Math.min(300, Math.max(220, box.clientWidth * 0.6)) });
  const chart = new uPlot({
    ...size(),
    scales: { x: { time: false }, y: { distr: log ? 3 : 1 } },
    axes: [
      { ...axis, incrs: [1, 2, 5].flatMap((i) => [...Array(9).keys()].map((j) => i * 10 ** j)).sort((a, b) => a - b), values: (u, values) => values.map(whole), size: 34 },
      { ...axis, size: 62, values: (u, values) => values.map((value) => (value == null ? "" : short(value))) },
    ],
    series: [{ label: panel.x, value: (u, value) => (value == null ? "" : String(value)) }, ...lines],
    cursor: {
      sync: { key: panel.x, setSeries: false, scales: ["x", null] },
      drag: { x: true, y: true, uni: 40 },
      focus: { prox: 20 },
      dataIdx: nearest,
      points: { size: 7 },
    },
    focus: { alpha: 0.35 },
    legend: { markers: { width: 3, stroke: (u, i) => css(`--c${panel.lines[i - 1].color}`), fill: "transparent", dash: (u, i) => (panel.lines[i - 1].dash ? "dashed" : "solid") } },
    hooks: {
      drawAxes: [(u) => weight > 0 && drawFaint(u, raw)],
      setSeries: [(u, i, options) => {
        if (options.show == null) return;
        remember(`${name}hidden`, u.series.slice(1).filter((series) => !series.show).map((series) => series.label));
      }],
      setScale: [(u, key) => {
        const { min, max } = u.scales[key];
        const [first, last] = [u.data[0][0], u.data[0][u.data[0].length - 1]];
        if (key === "x") remember(`${name}x`, min <= first && max >= last ? null : [min, max]);
      }],
    },
  }, drawn, box);
  const zoomed = remembered(`${name}x`, null);
  if (zoomed) chart.setScale("x", { min: zoomed[0], max: zoomed[1] });
  chart.over.tabIndex = 0;
  chart.over.setAttribute("role", "img");
  chart.over.setAttribute("aria-label", `${panel.title ? `${panel.title}: ` : ""}${panel.y} by ${panel.x}; the arrow keys move the pointer`);
  followTouch(chart);
  followKeys(chart);
  return { chart, size };
}

const pointAt = (chart, x, y) => chart.setCursor({ left: x, top: y }, true);

/** One finger points, two zoom; the page still scrolls up and down. */
function followTouch(chart) {
  const fingers = new Map();
  let start = null;
  const at = (event) => event.clientX - chart.over.getBoundingClientRect().left;
  const spread = () => { const [a, b] = [...fingers.values()]; return [Math.min(a, b), Math.max(a, b)]; };
  const move = (event) => {
    if (event.pointerType !== "touch" || (event.type === "pointermove" && !fingers.has(event.pointerId))) return;
    fingers.set(event.pointerId, at(event));
    if (fingers.size === 1) {
      pointAt(chart, at(event), event.clientY - chart.over.getBoundingClientRect().top);
    } else if (fingers.size === 2) {
      const [left, right] = spread();
      start ??= [chart.posToVal(left, "x"), chart.posToVal(right, "x")];
      const perPixel = (start[1] - start[0]) / Math.max(right - left, 20);
      const min = start[0] - left * perPixel;
      if (perPixel > 0) chart.setScale("x", { min, max: min + chart.over.clientWidth * perPixel });
    }
  };
  const end = (event) => { fingers.delete(event.pointerId); start = null; };
  for (const kind of ["pointerdown", "pointermove"]) chart.over.addEventListener(kind, move);
  for (const kind of ["pointerup", "pointercancel", "pointerleave"]) chart.over.addEventListener(kind, end);
}

function followKeys(chart) {
  chart.over.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") resetZoom(chart);
    if (step === undefined) return;
    event.preventDefault();
    const xs = chart.data[0];
    const index = Math.min(xs.length - 1, Math.max(0, (chart.cursor.idx ?? (step > 0 ? -1 : xs.length)) + step));
    pointAt(chart, chart.valToPos(xs[index], "x"), chart.over.clientHeight / 2);
  });
}

function resetZoom(chart) {
  const xs = chart.data[0];
  chart.setScale("y", { min: null, max: null });
  chart.setScale("x", { min: xs[0], max: xs[xs.length - 1] });
}

function drawAll() {
  document.getElementById("smoothing-value").textContent = smoothing.value;
  for (const { chart } of charts) chart.destroy();
  charts = figures.map(makeChart);
}

smoothing.value = remembered("smoothing", 0);
figures.forEach((figure, number) => {
  const { title, y, log } = page[number];
  const switchLog = figure.querySelector(".log");
  switchLog.checked = remembered(`${title}/${y}/log`, log);
  switchLog.addEventListener("change", () => { remember(`${title}/${y}/log`, switchLog.checked); drawAll(); });
});
smoothing.addEventListener("input", () => { remember("smoothing", Number(smoothing.value)); drawAll(); });
document.getElementById("reset").addEventListener("click", () => charts.forEach(({ chart }) => resetZoom(chart)));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
new ResizeObserver(() => {
  for (const { chart, size } of charts) if (chart.width !== size().width) chart.setSize(size());
}).observe(document.querySelector(".charts"));
drawAll();
