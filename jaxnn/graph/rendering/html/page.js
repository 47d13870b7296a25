"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const graph = document.querySelector(".graph");
const main = document.querySelector("main");
const stage = document.querySelector(".stage");
const edgeLayer = graph.querySelector(".edges");
const variables = [...graph.querySelectorAll(".variable")];
const SVG = "http://www.w3.org/2000/svg";

let numbers = data.start; // at the current slider positions
let stepsTaken = Infinity; // one per visible variable forward, then one per visible variable backward
let hovered = null; // the variable under the pointer or with the focus
let scale = 1;

const idOf = (variable) => Number(variable.dataset.node);
const isVisible = (element) => element.getClientRects().length > 0;
const nameOf = (variable) => data.names[idOf(variable)];

/** The visible variables in the order of evaluation. The output of a composite is in the page twice, and visible once. */
const visibleVariables = () => variables.filter(isVisible).sort((a, b) => idOf(a) - idOf(b));

/** The visible edges, those into collapsed operations, each with its two variables. */
function visibleEdges() {
  const byId = new Map(visibleVariables().map((variable) => [idOf(variable), variable]));
  return [...graph.querySelectorAll(".collapsed[data-op]")].filter(isVisible).flatMap((collapsed) => {
    const op = Number(collapsed.dataset.op);
    const edges = data.edges[op].flatMap(([source, target], i) => {
      const [sources, through] = isFolded(source) ? data.keys[source] : [[source], []];
      return sources.map((id) => ({ source: byId.get(id), target: byId.get(target), local: numbers.edges[op][i], through }));
    });
    const isFirst = (edge, i) => !edge.through.length || edges.findIndex((other) => other.source === edge.source && other.target === edge.target) === i;
    return edges.filter((edge) => edge.source && edge.target).filter(isFirst);
  });
}

/** Whether a variable is a hidden key: its edges start at the variables that it comes from. */
const isFolded = (id) => id in data.keys && !graph.matches(".with-key");

/** Whether a box is hidden by a switch. */
const isOff = (element) => ["unused", "key"].some((kind) => element.matches(`.${kind}`) && !graph.matches(`.with-${kind}`));

/** Hide the places of hidden edges, and the columns of hidden boxes alone. Edges of hidden keys keep their places. */
function foldColumns() {
  const off = new Set(variables.filter((variable) => isOff(variable) && variable.matches(".unused")).map((variable) => variable.dataset.node));
  for (const waypoint of graph.querySelectorAll("i")) {
    waypoint.classList.toggle("off", waypoint.dataset.of.split(" ").every((node) => off.has(node)));
  }
  for (const column of graph.querySelectorAll(".column")) {
    const boxes = [...column.children].filter((child) => !child.matches("i"));
    column.classList.toggle("off", boxes.length > 0 && boxes.every(isOff));
  }
}

function update() {
  const order = visibleVariables();
  const last = 2 * order.length;
  const step = Math.min(stepsTaken, last);
  const current = step === 0 || stepsTaken > last ? null : step <= order.length ? order[step - 1] : order[last - step];
  order.forEach((variable, i) => {
    variable.classList.toggle("hide-value", i >= step);
    variable.classList.toggle("hide-slope", i < last - step);
    variable.classList.toggle("current", variable === current);
  });
  for (const variable of variables) {
    const [above, below, valueHistogram, slopeHistogram] = numbers.nodes[idOf(variable)];
    variable.querySelector("b.value").textContent = above;
    variable.querySelector("b.slope").textContent = below;
    variable.querySelector("svg.value path")?.setAttribute("d", valueHistogram);
    variable.querySelector("svg.slope path")?.setAttribute("d", slopeHistogram);
  }
  document.getElementById("step").textContent = stepCaption(order, step, current);
  resizeStage();
  drawEdges();
  showDetails();
}

function stepCaption(order, step, current) {
  if (step === 0) return "before the first step";
  if (current === null) return "forward and backward pass, all steps";
  const [above, below] = numbers.nodes[idOf(current)];
  const label = current.dataset.about.split("\n")[0];
  if (step <= order.length) return `forward, ${step} of ${order.length}: ${label}${label.includes(" = ") ? ";" : ""} ${above}`;
  return `backward, ${step - order.length} of ${order.length}: ${chainRule(current)}${below ? ` = ${below}` : ": no derivative"}`;
}

/** Whether an edge enters an expanded composite with a custom rule: the rule, not this edge, gives the derivative. */
function entersRule({ source, target }) {
  const rule = target.closest(".rule.open");
  return rule !== null && !rule.contains(source);
}

/** The derivative with respect to a variable, as a sum over the operations that take it, plus the seed of an output. */
function chainRule(variable) {
  const derivative = (name) => `d${data.output}/d${name}`;
  const name = nameOf(variable);
  const out = visibleEdges()
    .filter((edge) => edge.source === variable)
    .map((edge) => (entersRule(edge) ? { ...edge, local: "" } : edge));
  if (!out.length) return derivative(name);
  const terms = out.map(({ target, local }) => {
    const targetName = nameOf(target);
    return local ? `${derivative(targetName)} · d${targetName}/d${name}` : `term through ${targetName}`;
  });
  if (data.outputs.includes(idOf(variable))) return `${derivative(name)} = cotangent + ${terms.join(" + ")}`;
  const products = out.map(({ target, local }) => `${numbers.nodes[idOf(target)][1]} · ${local}`);
  const evaluated = out.every(({ local }) => local) ? ` = ${products.join(" + ")}` : "";
  return `${derivative(name)} = ${terms.join(" + ")}${evaluated}`;
}

/** Draw the edges as curves, through the waypoints in the columns between. */
function drawEdges() {
  const drawn = []; // inserted at the end: each insertion forces a new layout of the page
  const origin = graph.getBoundingClientRect();
  const rectOf = (element) => element.getBoundingClientRect();
  const middle = (element) => (rectOf(element).top + rectOf(element).height / 2 - origin.top) / scale;
  const left = (element) => (rectOf(element).left - origin.left) / scale;
  const right = (element) => (rectOf(element).right - origin.left) / scale;
  const places = [...graph.querySelectorAll("i, .collapsed.key:not(.unused), .composite.key")].filter(isVisible);
  const waypoints = places.filter((place) => place.matches("i") || isOff(place)).map((waypoint) => {
    // In the first and the last column of a composite, edges continue to the sides of the column outside of it.
    const column = waypoint.parentElement;
    const outside = column.parentElement.parentElement.closest(".column");
    return {
      nodes: waypoint.dataset.of?.split(" ") ?? [...waypoint.querySelectorAll(".variable")].map((variable) => variable.dataset.node),
      layout: column.parentElement,
      y: middle(waypoint),
      left: left(outside && !column.previousElementSibling ? outside : column),
      right: right(outside && !column.nextElementSibling ? outside : column),
    };
  });
  for (const { source, target, local, through } of visibleEdges()) {
    const carried = [source.dataset.node, ...through.map(String)];
    const carries = ({ nodes }) => Math.max(...nodes.map((node) => carried.indexOf(node)));
    const [out, into] = [source, target].map((variable) => variable.querySelector(".label"));
    const from = [right(source.closest(".column")), middle(out)];
    const to = [left(target.closest(".column")) - 6, middle(into)];
    const between = waypoints
      .filter((waypoint) => carries(waypoint) >= 0 && (waypoint.layout.contains(source) || waypoint.layout.contains(target)))
      .filter((waypoint) => waypoint.left >= from[0] && waypoint.right <= to[0])
      .sort((a, b) => a.left - b.left || carries(b) - carries(a))
      .filter((waypoint, i, all) => !through.length || waypoint.left !== all[i - 1]?.left)
      .flatMap(({ left, right, y }) => [[left, y], [right, y]]);
    const [x, y] = [left(into) - 6, to[1]];
    const points = [[right(out), from[1]], from, ...between, to, [x, y]];
    const curve = points.slice(1).map(([bx, by], i) => {
      const [ax, ay] = points[i];
      const half = (ax + bx) / 2;
      return `C${half} ${ay} ${half} ${by} ${bx} ${by}`;
    });
    drawn.push(svgElement("path", { d: `M${points[0]}${curve.join("")}`, "data-source": idOf(source), "data-target": idOf(target), class: through.length ? "folded" : "" }));
    drawn.push(svgElement("path", { d: `M${x} ${y - 3}l6 3l-6 3z`, class: "head" }));
    if (local) {
      const [[ax, ay], [bx, by]] = points.slice(-3, -1);
      drawn.push(svgElement("text", { x: (ax + bx) / 2, y: (ay + by) / 2 - 3 }, local));
    }
  }
  edgeLayer.setAttribute("width", origin.width / scale);
  edgeLayer.setAttribute("height", origin.height / scale);
  edgeLayer.replaceChildren(...drawn);
}

function svgElement(kind, attributes, text = "") {
  const element = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

/** Show the details of the hovered variable, and highlight its edges. */
function showDetails() {
  if (hovered === null) return;
  for (const path of edgeLayer.querySelectorAll("path[data-source]")) {
    const ends = [path.dataset.source, path.dataset.target];
    path.classList.toggle("hovered", ends.includes(hovered.dataset.node));
  }
  const [label, type, ...more] = hovered.dataset.about.split("\n");
  const [, , , , value, slope] = numbers.nodes[idOf(hovered)];
  const lines = [`${label}    ${type}`, `value: ${value}`, `d${data.output}/d${nameOf(hovered)}: ${slope || "no derivative"}`];
  document.getElementById("about").textContent = [...lines, ...more].join("\n");
}

for (const variable of variables) {
  for (const event of ["pointerenter", "focus"]) {
    variable.addEventListener(event, () => { hovered = variable; showDetails(); });
  }
}

for (const button of graph.querySelectorAll(".collapse, .expand")) {
  button.addEventListener("click", () => {
    const composite = button.closest(".composite");
    const isOpen = composite.classList.toggle("open");
    update();
    composite.querySelector(isOpen ? ".collapse" : ".expand").focus({ preventScroll: true });
  });
}

const goToStep = (step) => {
  stepsTaken = step > 2 * visibleVariables().length ? Infinity : Math.max(0, step);
  update();
  const current = visibleVariables().find((variable) => variable.matches(".current"));
  if (current === undefined) return;
  const [box, around] = [current.getBoundingClientRect(), main.getBoundingClientRect()];
  const beyond = (start, end, first, last) => Math.max(0, end + 32 - last) + Math.min(0, start - 32 - first);
  main.scrollLeft += beyond(box.left, box.right, around.left, around.right);
  main.scrollTop += beyond(box.top, box.bottom, around.top, around.bottom);
};
const currentStep = () => Math.min(stepsTaken, 2 * visibleVariables().length + 1);
document.getElementById("first").addEventListener("click", () => goToStep(0));
document.getElementById("back").addEventListener("click", () => goToStep(currentStep() - 1));
document.getElementById("next").addEventListener("click", () => goToStep(currentStep() + 1));
document.getElementById("last").addEventListener("click", () => goToStep(Infinity));
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input") || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "f") fit();
  else if (event.key === "+") zoomBy(1.25);
  else if (event.key === "-") zoomBy(0.8);
  else if (event.key === "0") setScale(1);
  else if (event.key === "ArrowLeft") goToStep(currentStep() - 1);
  else if (event.key === "ArrowRight") goToStep(currentStep() + 1);
  else return;
  event.preventDefault();
});

const ranges = [...document.querySelectorAll(".slider input")];
function labelSlider(range, slider) {
  const value = slider.values[range.value];
  const known = slider.numbers[range.value] !== null;
  range.closest(".slider").querySelector("output").textContent =
    Number(value.toPrecision(6)) + (known ? "" : ": the function takes a different branch here; the numbers are unchanged");
}
ranges.forEach((range, i) => {
  const slider = data.sliders[i];
  labelSlider(range, slider);
  range.addEventListener("input", () => {
    ranges.forEach((other, j) => {
      if (other !== range) { other.value = other.dataset.start; labelSlider(other, data.sliders[j]); }
    });
    labelSlider(range, slider);
    numbers = slider.numbers[range.value] ?? numbers;
    update();
  });
});

// Boxes are as wide as their longest caption at any slider position, so that nothing moves.
const states = [data.start, ...data.sliders.flatMap((slider) => slider.numbers.filter(Boolean))];
for (const variable of variables) {
  const lengths = states.flatMap((state) => state.nodes[idOf(variable)].slice(0, 2).map((caption) => caption.length));
  variable.style.minWidth = `${Math.max(...lengths)}ch`;
}

const LEGIBLE = 0.6; // at first, a large graph is no smaller

/** Zoom; the point of the graph under `at`, by default the middle of the window, stays there. */
function setScale(wanted, at = null) {
  const around = main.getBoundingClientRect();
  const [x, y] = at ?? [around.left + around.width / 2, around.top + around.height / 2];
  const before = graph.getBoundingClientRect();
  const [graphX, graphY] = [(x - before.left) / scale, (y - before.top) / scale];
  scale = Math.min(4, Math.max(0.1, wanted));
  resizeStage();
  const after = graph.getBoundingClientRect();
  main.scrollLeft += after.left + graphX * scale - x;
  main.scrollTop += after.top + graphY * scale - y;
  document.getElementById("scale").textContent = `${Math.round(100 * scale)} %`;
}

function resizeStage() {
  graph.style.transform = scale === 1 ? "" : `scale(${scale})`;
  stage.style.width = `${graph.offsetWidth * scale}px`;
  stage.style.height = `${graph.offsetHeight * scale}px`;
}

const zoomBy = (factor, at) => setScale(scale * factor, at);

/** Show the whole graph, not larger than its original size. */
function fit(least = 0) {
  const { paddingLeft, paddingTop } = getComputedStyle(main);
  const [width, height] = [main.clientWidth - 2 * parseFloat(paddingLeft), main.clientHeight - 2 * parseFloat(paddingTop)];
  setScale(Math.max(least, Math.min(1, width / graph.offsetWidth, height / graph.offsetHeight)));
}

document.getElementById("fit").addEventListener("click", () => fit());
document.getElementById("in").addEventListener("click", () => zoomBy(1.25));
document.getElementById("out").addEventListener("click", () => zoomBy(0.8));
document.getElementById("full").addEventListener("click", () => setScale(1));
main.addEventListener("wheel", (event) => {
  if (!event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  zoomBy(Math.exp(-event.deltaY / 300), [event.clientX, event.clientY]);
}, { passive: false });

// A mouse drags the graph; fingers scroll it, and two zoom.
main.addEventListener("pointerdown", (event) => {
  if (event.pointerType !== "mouse" || event.button !== 0 || event.target.closest("button")) return;
  const start = [event.clientX + main.scrollLeft, event.clientY + main.scrollTop];
  const move = ({ clientX, clientY }) => {
    main.classList.add("panning");
    main.scrollTo(start[0] - clientX, start[1] - clientY);
  };
  const end = () => { main.classList.remove("panning"); removeEventListener("pointermove", move); };
  addEventListener("pointermove", move);
  addEventListener("pointerup", end, { once: true });
});
let spread = 0; // between two fingers
main.addEventListener("touchmove", (event) => {
  if (event.touches.length !== 2) return;
  event.preventDefault();
  const [a, b] = event.touches;
  const now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
  if (spread > 0) zoomBy(now / spread, [(a.clientX + b.clientX) / 2, (a.clientY + b.clientY) / 2]);
  spread = now;
}, { passive: false });
main.addEventListener("touchend", () => { spread = 0; });

for (const input of document.querySelectorAll(".view input")) {
  input.addEventListener("change", () => {
    graph.classList.toggle(`with-${input.dataset.shows}`, input.checked);
    foldColumns();
    update();
  });
}

foldColumns();
update();
fit(LEGIBLE);
main.scrollTo(0, main.scrollTop);
