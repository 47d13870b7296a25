"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const graph = document.querySelector(".graph");
const edgeLayer = graph.querySelector(".edges");
const variables = [...graph.querySelectorAll(".variable")];
const SVG = "http://www.w3.org/2000/svg";

let numbers = data.start; // at the current slider positions
let stepsTaken = Infinity; // one per visible variable forward, then one per visible variable backward
let hovered = null; // the variable under the pointer or with the focus

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
    return data.edges[op]
      .map(([source, target], i) => ({ source: byId.get(source), target: byId.get(target), local: numbers.edges[op][i] }))
      .filter((edge) => edge.source && edge.target);
  });
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
  const middle = (element) => rectOf(element).top + rectOf(element).height / 2 - origin.top;
  const left = (element) => rectOf(element).left - origin.left;
  const right = (element) => rectOf(element).right - origin.left;
  const waypoints = [...graph.querySelectorAll("i")].filter(isVisible).map((waypoint) => {
    // In the first and the last column of a composite, edges continue to the sides of the column outside of it.
    const column = waypoint.parentElement;
    const outside = column.parentElement.parentElement.closest(".column");
    return {
      nodes: waypoint.dataset.of.split(" "),
      layout: column.parentElement,
      y: middle(waypoint),
      left: left(outside && !column.previousElementSibling ? outside : column),
      right: right(outside && !column.nextElementSibling ? outside : column),
    };
  });
  for (const { source, target, local } of visibleEdges()) {
    const [out, into] = [source, target].map((variable) => variable.querySelector(".label"));
    const from = [right(source.closest(".column")), middle(out)];
    const to = [left(target.closest(".column")) - 6, middle(into)];
    const between = waypoints
      .filter(({ nodes, layout }) => nodes.includes(source.dataset.node) && (layout.contains(source) || layout.contains(target)))
      .filter((waypoint) => waypoint.left >= from[0] && waypoint.right <= to[0])
      .sort((a, b) => a.left - b.left)
      .flatMap(({ left, right, y }) => [[left, y], [right, y]]);
    const [x, y] = [left(into) - 6, to[1]];
    const points = [[right(out), from[1]], from, ...between, to, [x, y]];
    const curve = points.slice(1).map(([bx, by], i) => {
      const [ax, ay] = points[i];
      const half = (ax + bx) / 2;
      return `C${half} ${ay} ${half} ${by} ${bx} ${by}`;
    });
    drawn.push(svgElement("path", { d: `M${points[0]}${curve.join("")}`, "data-source": idOf(source), "data-target": idOf(target) }));
    drawn.push(svgElement("path", { d: `M${x} ${y - 3}l6 3l-6 3z`, class: "head" }));
    if (local) {
      const [[ax, ay], [bx, by]] = points.slice(-3, -1);
      drawn.push(svgElement("text", { x: (ax + bx) / 2, y: (ay + by) / 2 - 3 }, local));
    }
  }
  edgeLayer.setAttribute("width", origin.width);
  edgeLayer.setAttribute("height", origin.height);
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
  // Scroll horizontally only, so that the buttons stay under the pointer.
  const { left, right } = current.getBoundingClientRect();
  current.closest("main").scrollLeft += Math.max(0, right + 32 - innerWidth) + Math.min(0, left - 32);
};
const currentStep = () => Math.min(stepsTaken, 2 * visibleVariables().length + 1);
document.getElementById("first").addEventListener("click", () => goToStep(0));
document.getElementById("back").addEventListener("click", () => goToStep(currentStep() - 1));
document.getElementById("next").addEventListener("click", () => goToStep(currentStep() + 1));
document.getElementById("last").addEventListener("click", () => goToStep(Infinity));
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input") || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "ArrowLeft") goToStep(currentStep() - 1);
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
update();
