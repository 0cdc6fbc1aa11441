// The curves: a line for each strategy, coverage that bounds them, and what a vote would make.

const AXES = {
  flops: { title: "FLOPs per problem, policy + verifier, shared prefixes once", show: si },
  tokens: { title: "completion tokens per problem, policy", show: si },
  dollars: { title: "dollars per problem, policy + verifier", show: money },
  seconds: { title: "seconds per attempt (at the largest n only)", show: si },
  n: { title: "candidates n", show: (n) => plain(n) },
};
// Why a chart is not drawn against what it would be, by what it is drawn against.
const REASONS = {
  tokens: "The FLOPs of this run are not known: it is drawn against tokens.",
  n: "Neither FLOPs nor tokens of this run are known: it is drawn against the number of candidates n.",
};
const PREFERRED = ["flops", "tokens", "n", "dollars", "seconds"];
const MARKERS = {
  o: { sign: "●", hollow: "○", pointStyle: "circle" },
  s: { sign: "■", hollow: "□", pointStyle: "rect" },
  "^": { sign: "▲", hollow: "△", pointStyle: "triangle" },
  D: { sign: "◆", hollow: "◇", pointStyle: "rectRot" },
  v: { sign: "▼", hollow: "▽", pointStyle: "triangle", pointRotation: 180 },
  "<": { sign: "◀", hollow: "◁", pointStyle: "triangle", pointRotation: 270 },
  ">": { sign: "▶", hollow: "▷", pointStyle: "triangle", pointRotation: 90 },
  P: { sign: "✚", pointStyle: "cross", pointBorderWidth: 3 },
  X: { sign: "✖", pointStyle: "crossRot", pointBorderWidth: 3 },
  "*": { sign: "✱", pointStyle: "star", pointBorderWidth: 2 },
};
// Dashes by the names that the figures have for them, as patterns and as signs of the legend.
const DASHES = {
  "-": { sign: "──", pattern: [] },
  "--": { sign: "╌╌", pattern: [7, 4] },
  "-.": { sign: "─·", pattern: [8, 3, 2, 3] },
  ":": { sign: "··", pattern: [2, 3] },
};
const BASELINE_COLOUR = "#000000";
const VOTE_COLOUR = "#808000";

function pointOf(row) {
  const accuracy = metricOf(row, "accuracy") || metricOf(row, "pass@k");
  return {
    n: row.n ?? row.k ?? 1,
    flops: row.flops_ideal ?? (row.k === undefined ? null : row.policy.flops_ideal),
    tokens: row.policy.completion_tokens,
    dollars: (row.k === undefined ? row.dollars : row.policy.dollars) ?? null,
    seconds: row.seconds ?? null,
    value: accuracy.value,
    low: accuracy.ci95[0],
    high: accuracy.ci95[1],
    problems: accuracy.n,
  };
}

function everyLine() {
  const { summary } = overview;
  const lineOf = new Map(overview.cells.map((cell) => [cell.id, cell.line]));
  const lines = overview.lines.map((line, place) => ({
    ...line,
    points: summary.points.filter((row) => lineOf.get(row.cell) === place).map(pointOf),
  }));
  summary.coverage.forEach((curve, place) => {
    const points = curve.points.map(pointOf);
    lines.push({ label: overview.coverage_names[place], colour: overview.coverage_colour, marker: null, dash: "--", points });
    const votes = overview.votes[place];
    if (!votes) return;
    lines.push({
      label: overview.vote_names[place],
      colour: VOTE_COLOUR,
      marker: null,
      dash: ":",
      points: points.map((point, i) => ({ ...point, value: votes[i][0], low: votes[i][1], high: votes[i][2] })),
    });
  });
  return lines.filter((line) => line.points.length);
}

// Confidence intervals as whiskers; Chart.js itself draws none.
const whiskers = {
  id: "whiskers",
  beforeDatasetsDraw(chart) {
    const { ctx, scales, chartArea } = chart;
    ctx.save();
    ctx.beginPath();
    ctx.rect(chartArea.left, chartArea.top, chartArea.width, chartArea.height);
    ctx.clip();
    ctx.lineWidth = 1.3;
    ctx.globalAlpha = 0.45;
    chart.data.datasets.forEach((dataset, i) => {
      if (!chart.isDatasetVisible(i)) return;
      ctx.strokeStyle = dataset.borderColor;
      for (const point of dataset.data) {
        const x = scales.x.getPixelForValue(point.x);
        ctx.beginPath();
        ctx.moveTo(x, scales.y.getPixelForValue(100 * point.low));
        ctx.lineTo(x, scales.y.getPixelForValue(100 * point.high));
        ctx.stroke();
      }
    });
    ctx.restore();
  },
};

function startCurves() {
  const lines = everyLine();
  const hidden = new Set();
  const usable = Object.keys(AXES).filter((axis) => lines.some((line) => line.points.some((p) => p[axis])));
  const axis = PREFERRED.find((one) => usable.includes(one));
  const state = { axis, logX: true, logY: false };
  const chart = new Chart(byId("chart"), { type: "line", data: { datasets: [] }, options: {}, plugins: [whiskers] });

  function draw() {
    const shown = lines.map((line) => datasetOf(line, state));
    chart.data.datasets = shown;
    shown.forEach((_, i) => chart.setDatasetVisibility(i, !hidden.has(i)));
    chart.options = optionsOf(state);
    chart.update("none");
    drawLegend(lines, shown, hidden, draw);
  }

  drawCurveControls(usable, state, draw);
  if (REASONS[axis]) byId("curves-controls").append(make("span", { class: "muted", id: "curves-reason", text: REASONS[axis] }));
  themeChanged.push(draw);
  draw();
  readByKeyboard(chart, lines);
}

function lineColour(line) {
  return line.colour === BASELINE_COLOUR ? colourOf("--text") : line.colour;
}

function signOf({ marker, hollow }) {
  const { sign = "", hollow: outline = sign } = MARKERS[marker] || {};
  return hollow ? outline : sign;
}

function datasetOf(line, { axis, logY }) {
  const colour = lineColour(line);
  const data = line.points
    // What is unknown or 0 has no place on a logarithmic axis.
    .filter((point) => point[axis] && (point.value > 0 || !logY))
    .map((point) => ({ ...point, x: point[axis], y: 100 * point.value }))
    .sort((a, b) => a.x - b.x);
  return {
    label: line.label,
    data,
    borderColor: colour,
    backgroundColor: line.hollow ? colourOf("--page") : colour,
    borderWidth: 2,
    borderDash: DASHES[line.dash].pattern,
    clip: 10, // markers at 0 and 100 % stay whole
    pointRadius: line.marker ? 5 : 2.5,
    pointHoverRadius: 7,
    ...(MARKERS[line.marker] || {}),
  };
}

function optionsOf({ axis, logX, logY }) {
  const text = colourOf("--text");
  const scale = (log, title, show, [min, max]) => ({
    type: log ? "logarithmic" : "linear",
    title: { display: true, text: title, color: text },
    ticks: { color: text, maxRotation: 0, autoSkipPadding: 18, callback: (value) => (log && !isNamed(value, min, max) ? "" : show(value)) },
    min,
    max,
    grid: { color: colourOf("--line") },
    border: { color: colourOf("--muted") },
  });
  return {
    animation: false,
    maintainAspectRatio: false,
    interaction: { mode: "nearest", intersect: false },
    parsing: false,
    scales: {
      x: {
        ...scale(logX, AXES[axis].title, (value) => AXES[axis].show(value), rangeOf(axis, logX)),
        afterBuildTicks: axis === "n" && logX ? ticksAtPowersOfTwo : undefined,
      },
      y: scale(logY, "% of problems", (value) => plain(value), percentRange(logY)),
    },
    plugins: {
      legend: { display: false },
      tooltip: {
        displayColors: false,
        backgroundColor: colourOf("--text"),
        titleColor: colourOf("--page"),
        bodyColor: colourOf("--page"),
        callbacks: { title: (items) => items[0]?.dataset.label, label: (item) => reading(item.raw) },
      },
    },
  };
}

// Whether a logarithmic axis over more than a few values names this one: 1, 2 and 5 of each ten,
// and powers of 2 where candidates are counted.
function isNamed(value, min, max) {
  if (max < 5 * min) return value !== min && value !== max;
  return [1, 2, 5].includes(Number(value.toExponential(6).split("e")[0])) || Number.isInteger(Math.log2(value));
}

function ticksAtPowersOfTwo(scale) {
  const ticks = [];
  for (let n = 1; n <= scale.max; n *= 2) ticks.push({ value: n });
  scale.ticks = ticks;
}

// Room on both sides of the points: half an interval must not lie on the frame.
function rangeOf(axis, logX) {
  const seen = everyLine().flatMap((line) => line.points.map((point) => point[axis])).filter(Boolean);
  const [low, high] = [Math.min(...seen), Math.max(...seen)];
  return logX ? [low / 1.25, high * 1.25] : [0, high * 1.05];
}

// Every interval whole, and never more than percents are.
function percentRange(logY) {
  const points = everyLine().flatMap((line) => line.points);
  const low = 100 * Math.min(...points.map((point) => point.low));
  const high = 100 * Math.max(...points.map((point) => point.high));
  const room = Math.max(2, 0.05 * (high - low));
  if (!logY) return [Math.max(0, Math.floor((low - room) / 5) * 5), Math.min(100, Math.ceil((high + room) / 5) * 5)];
  const positive = points.map((point) => 100 * point.value).filter(Boolean);
  return [Math.min(...positive, 100) / 1.5, 100];
}

function reading(point) {
  return [
    `${percent(point.value, 2)} %  [${percent(point.low, 2)}, ${percent(point.high, 2)}]  (95 % interval, ${point.problems} problems)`,
    `n = ${point.n}`,
    `${count(point.tokens)} tokens`,
    `${point.flops === null ? "unknown" : point.flops.toPrecision(4)} FLOPs`,
    ...(point.dollars === null ? [] : [money(point.dollars)]),
    point.seconds === null ? "seconds not measured at this n" : `${plain(point.seconds, 4)} s`,
  ];
}

function drawCurveControls(usable, state, draw) {
  const axis = make("select", { on: { change: () => ((state.axis = axis.value), draw()) } });
  for (const name of usable) axis.append(make("option", { value: name, text: name === "flops" ? "FLOPs" : name, selected: name === state.axis }));
  const tick = (key, label) => {
    const box = make("input", { type: "checkbox", checked: state[key], on: { change: () => ((state[key] = box.checked), draw()) } });
    return make("label", {}, box, ` ${label}`);
  };
  byId("curves-controls").append(make("label", {}, "against ", axis), tick("logX", "log x"), tick("logY", "log y"));
}

// Buttons rather than Chart.js's legend: they can be reached with the keyboard, and wrap.
function drawLegend(lines, datasets, hidden, draw) {
  const legend = byId("legend");
  if (legend.children.length !== lines.length) {
    legend.replaceChildren(
      ...lines.map((line, i) =>
        make(
          "button",
          {
            type: "button",
            on: {
              click: () => (hidden.has(i) ? hidden.delete(i) : hidden.add(i), draw()),
              dblclick: () => {
                hidden.clear();
                lines.forEach((_, other) => other !== i && hidden.add(other));
                draw();
              },
            },
          },
          make("span", { class: "swatch", text: `${signOf(line)}${DASHES[line.dash].sign}` }),
          line.label,
        ),
      ),
    );
    legend.title = "Click to hide or show a line, double-click to see it alone";
  }
  lines.forEach((line, i) => {
    const button = legend.children[i];
    button.setAttribute("aria-pressed", String(!hidden.has(i)));
    button.disabled = !datasets[i].data.length;
    button.firstChild.style.setProperty("--swatch", lineColour(line));
  });
}

// The canvas is a picture to assistive technology: arrow keys go through its points and read them.
function readByKeyboard(chart, lines) {
  let at = -1;
  chart.canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const points = chart.data.datasets.flatMap((dataset, datasetIndex) =>
      chart.isDatasetVisible(datasetIndex) ? dataset.data.map((_, index) => ({ datasetIndex, index })) : [],
    );
    if (!points.length) return;
    at = (at + step + points.length) % points.length;
    const { datasetIndex, index } = points[at];
    const element = chart.getDatasetMeta(datasetIndex).data[index];
    chart.setActiveElements([points[at]]);
    chart.tooltip.setActiveElements([points[at]], { x: element.x, y: element.y });
    chart.update("none");
    const dataset = chart.data.datasets[datasetIndex];
    byId("chart-reading").textContent = `${lines[datasetIndex].label}: ${reading(dataset.data[index]).join(", ")}`;
  });
}
