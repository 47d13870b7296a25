"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const graph = document.querySelector(".graph");
const wires = graph.querySelector(".wires");
const variables = [...graph.querySelectorAll(".variable")];
const SVG = "http://www.w3.org/2000/svg";

let numbers = data.start; // of the graph at the sliders' place
let taken = Infinity; // steps: forward by each variable seen, then backward by each
let near = null; // the variable that is pointed at

const idOf = (variable) => Number(variable.dataset.node);
const isSeen = (element) => element.getClientRects().length > 0;
const nameOf = (variable) => data.names[idOf(variable)];

/** The variables seen, in the order of evaluation. A box's output is in the page twice, and seen once. */
const seen = () => variables.filter(isSeen).sort((a, b) => idOf(a) - idOf(b));

/** The edges seen: those into closed boxes, each with its two variables. */
function edgesSeen() {
  const at = new Map(seen().map((variable) => [idOf(variable), variable]));
  return [...graph.querySelectorAll(".closed[data-op]")].filter(isSeen).flatMap((closed) => {
    const op = Number(closed.dataset.op);
    return data.edges[op]
      .map(([source, target], i) => ({ source: at.get(source), target: at.get(target), local: numbers.edges[op][i] }))
      .filter((edge) => edge.source && edge.target);
  });
}

function show() {
  const order = seen();
  const last = 2 * order.length;
  const at = Math.min(taken, last);
  const now = at === 0 || taken > last ? null : at <= order.length ? order[at - 1] : order[last - at];
  order.forEach((variable, i) => {
    variable.classList.toggle("hide-value", i >= at);
    variable.classList.toggle("hide-slope", i < last - at);
    variable.classList.toggle("now", variable === now);
  });
  for (const variable of variables) {
    const [above, below, valueBars, slopeBars] = numbers.nodes[idOf(variable)];
    variable.querySelector("b.value").textContent = above;
    variable.querySelector("b.slope").textContent = below;
    variable.querySelector("svg.value path")?.setAttribute("d", valueBars);
    variable.querySelector("svg.slope path")?.setAttribute("d", slopeBars);
  }
  document.getElementById("step").textContent = caption(order, at, now);
  draw();
  tell();
}

/** What the step does, in words. */
function caption(order, at, now) {
  if (at === 0) return "before the first step";
  if (now === null) return "forward and backward, all steps";
  const [above, below] = numbers.nodes[idOf(now)];
  const what = now.dataset.about.split("\n")[0];
  if (at <= order.length) return `forward, ${at} of ${order.length}: ${what}${what.includes(" = ") ? ";" : ""} ${above}`;
  return `backward, ${at - order.length} of ${order.length}: ${chainRule(now)}${below ? ` = ${below}` : ": none"}`;
}

/** Whether an edge goes into an opened box that brings its own derivative: what comes back is the rule's. */
function intoRule({ source, target }) {
  const rule = target.closest(".rule.open");
  return rule !== null && !rule.contains(source);
}

/** The derivative by a variable as a sum over those that take it, and, of an output, what it starts with. */
function chainRule(variable) {
  const by = (target) => `d${data.output}/d${target}`;
  const name = nameOf(variable);
  const out = edgesSeen()
    .filter((edge) => edge.source === variable)
    .map((edge) => (intoRule(edge) ? { ...edge, local: "" } : edge));
  if (!out.length) return by(name);
  const names = out.map(({ target, local }) => {
    const word = nameOf(target);
    return local ? `${by(word)} · d${word}/d${name}` : `what ${word} hands back`;
  });
  if (data.outputs.includes(idOf(variable))) return `${by(name)} = what it starts with + ${names.join(" + ")}`;
  const figures = out.map(({ target, local }) => `${numbers.nodes[idOf(target)][1]} · ${local}`);
  const worked = out.every(({ local }) => local) ? ` = ${figures.join(" + ")}` : "";
  return `${by(name)} = ${names.join(" + ")}${worked}`;
}

/** The edges as curves, through the columns between at the places kept for them. */
function draw() {
  const drawn = []; // put in at the end: whatever is put in makes the browser measure all anew
  const origin = graph.getBoundingClientRect();
  const of = (element) => element.getBoundingClientRect();
  const middle = (element) => of(element).top + of(element).height / 2 - origin.top;
  const left = (element) => of(element).left - origin.left;
  const right = (element) => of(element).right - origin.left;
  const passages = [...graph.querySelectorAll("i")].filter(isSeen).map((passage) => {
    // Through the first and the last column of a box, edges come in from outside of it, and leave it.
    const column = passage.parentElement;
    const outside = column.parentElement.parentElement.closest(".column");
    return {
      of: passage.dataset.of.split(" "),
      level: column.parentElement,
      y: middle(passage),
      left: left(outside && !column.previousElementSibling ? outside : column),
      right: right(outside && !column.nextElementSibling ? outside : column),
    };
  });
  for (const { source, target, local } of edgesSeen()) {
    const [out, into] = [source, target].map((variable) => variable.querySelector(".label"));
    const from = [right(source.closest(".column")), middle(out)];
    const to = [left(target.closest(".column")) - 6, middle(into)];
    const between = passages
      .filter(({ of, level }) => of.includes(source.dataset.node) && (level.contains(source) || level.contains(target)))
      .filter((passage) => passage.left >= from[0] && passage.right <= to[0])
      .sort((a, b) => a.left - b.left)
      .flatMap(({ left, right, y }) => [[left, y], [right, y]]);
    const [x, y] = [left(into) - 6, to[1]];
    const points = [[right(out), from[1]], from, ...between, to, [x, y]];
    const curve = points.slice(1).map(([bx, by], i) => {
      const [ax, ay] = points[i];
      const half = (ax + bx) / 2;
      return `C${half} ${ay} ${half} ${by} ${bx} ${by}`;
    });
    drawn.push(made("path", { d: `M${points[0]}${curve.join("")}`, "data-source": idOf(source), "data-target": idOf(target) }));
    drawn.push(made("path", { d: `M${x} ${y - 3}l6 3l-6 3z`, class: "head" }));
    if (local) {
      const [[ax, ay], [bx, by]] = points.slice(-3, -1);
      drawn.push(made("text", { x: (ax + bx) / 2, y: (ay + by) / 2 - 3 }, local));
    }
  }
  wires.setAttribute("width", origin.width);
  wires.setAttribute("height", origin.height);
  wires.replaceChildren(...drawn);
}

function made(kind, attributes, words = "") {
  const element = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = words;
  return element;
}

/** About the variable that is pointed at, whose edges stand out. */
function tell() {
  if (near === null) return;
  for (const path of wires.querySelectorAll("path[data-source]")) {
    const ends = [path.dataset.source, path.dataset.target];
    path.classList.toggle("near", ends.includes(near.dataset.node));
  }
  const [what, type, ...more] = near.dataset.about.split("\n");
  const [, , , , value, slope] = numbers.nodes[idOf(near)];
  const lines = [`${what}    ${type}`, `value: ${value}`, `d${data.output}/d${nameOf(near)}: ${slope || "none"}`];
  document.getElementById("about").textContent = [...lines, ...more].join("\n");
}

for (const variable of variables) {
  for (const event of ["pointerenter", "focus"]) {
    variable.addEventListener(event, () => { near = variable; tell(); });
  }
}

for (const button of graph.querySelectorAll(".fold, .unfold")) {
  button.addEventListener("click", () => {
    const box = button.closest(".box");
    const isOpen = box.classList.toggle("open");
    show();
    box.querySelector(isOpen ? ".fold" : ".unfold").focus({ preventScroll: true });
  });
}

const step = (to) => {
  taken = to > 2 * seen().length ? Infinity : Math.max(0, to);
  show();
  const now = seen().find((variable) => variable.matches(".now"));
  if (now === undefined) return;
  // Across alone: the buttons stay under the pointer.
  const { left, right } = now.getBoundingClientRect();
  now.closest("main").scrollLeft += Math.max(0, right + 32 - innerWidth) + Math.min(0, left - 32);
};
const steps = () => Math.min(taken, 2 * seen().length + 1);
document.getElementById("first").addEventListener("click", () => step(0));
document.getElementById("back").addEventListener("click", () => step(steps() - 1));
document.getElementById("next").addEventListener("click", () => step(steps() + 1));
document.getElementById("last").addEventListener("click", () => step(Infinity));
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input") || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "ArrowLeft") step(steps() - 1);
  else if (event.key === "ArrowRight") step(steps() + 1);
  else return;
  event.preventDefault();
});

const ranges = [...document.querySelectorAll(".slider input")];
function label(range, slider) {
  const value = slider.values[range.value];
  const known = slider.numbers[range.value] !== null;
  range.closest(".slider").querySelector("output").textContent =
    Number(value.toPrecision(6)) + (known ? "" : ": here the function takes another way; the graph shown is that before");
}
ranges.forEach((range, i) => {
  const slider = data.sliders[i];
  label(range, slider);
  range.addEventListener("input", () => {
    ranges.forEach((other, j) => {
      if (other !== range) { other.value = other.dataset.start; label(other, data.sliders[j]); }
    });
    label(range, slider);
    numbers = slider.numbers[range.value] ?? numbers;
    show();
  });
});

/** Room for the longest figures at any place of the sliders, so that nothing moves. */
const states = [data.start, ...data.sliders.flatMap((slider) => slider.numbers.filter(Boolean))];
for (const variable of variables) {
  const lengths = states.flatMap((state) => state.nodes[idOf(variable)].slice(0, 2).map((words) => words.length));
  variable.style.minWidth = `${Math.max(...lengths)}ch`;
}
show();
