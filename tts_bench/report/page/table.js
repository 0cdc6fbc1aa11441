// Tables: the results, sortable by any column, and accuracy within groups of problems.

const dollarsOf = (row) => (row.kind === "coverage" ? row.policy.dollars : row.dollars);
const COLUMNS = [
  { title: "strategy", value: (row) => row.name, show: (row) => row.name },
  { title: "n", value: (row) => row.n, show: (row) => row.n ?? NOTHING },
  { title: "accuracy % [95 %]", value: (row) => row.accuracy.value, show: (row) => interval(row.accuracy) },
  { title: "vs greedy, points", value: (row) => row.gain?.value, show: (row) => signedInterval(row.gain) },
  { title: "tokens", value: (row) => row.policy.completion_tokens, show: (row) => count(row.policy.completion_tokens) },
  { title: "policy FLOPs", value: (row) => row.policy.flops_ideal, show: (row) => si(row.policy.flops_ideal) },
  { title: "verifier FLOPs", value: (row) => row.verifier?.flops_ideal, show: (row) => si(row.verifier?.flops_ideal) },
  { title: "$", value: dollarsOf, show: (row) => money(dollarsOf(row)), ifKnown: true },
  { title: "seconds", value: (row) => row.seconds, show: (row) => plain(row.seconds) },
  { title: "cut off %", value: (row) => row.truncated, show: (row) => percent(row.truncated) },
  { title: "no answer %", value: (row) => row.unanswered, show: (row) => percent(row.unanswered) },
  { title: "errors", value: (row) => row.errors, show: (row) => row.errors ?? NOTHING },
  { title: "estimated from", value: (row) => row.estimated_from, show: (row) => row.estimated_from ?? NOTHING },
];

function resultRows() {
  const labelOf = new Map(overview.cells.map((cell) => [cell.id, cell.label]));
  const strategies = overview.summary.points.map((row) => ({
    ...row,
    name: labelOf.get(row.cell),
    accuracy: metricOf(row, "accuracy"),
    gain: metricOf(row, "accuracy_minus_greedy"),
    unanswered: row.no_answer,
  }));
  const coverage = overview.summary.coverage.flatMap((curve, place) =>
    curve.points.map((row) => ({
      kind: "coverage",
      name: overview.coverage_names[place].replace("pass@n", `pass@${row.k}`),
      n: row.k,
      accuracy: metricOf(row, "pass@k"),
      policy: row.policy,
    })),
  );
  return [...strategies, ...coverage];
}

function startResults() {
  const rows = resultRows();
  const columns = COLUMNS.filter((one) => !one.ifKnown || rows.some((row) => one.value(row) != null));
  const body = make("tbody");
  let sorted = { column: null, descending: false };
  const heads = columns.map((column) =>
    make("th", { scope: "col" }, make("button", { type: "button", text: column.title, on: { click: () => sort(column) } })),
  );

  function sort(column) {
    sorted = { column, descending: sorted.column === column ? !sorted.descending : true };
    show();
  }

  function show() {
    const shown = sorted.column ? [...rows].sort((a, b) => order(a, b, sorted)) : rows;
    body.replaceChildren(...shown.map((row) => resultRow(row, columns)));
    columns.forEach((column, i) => {
      const direction = sorted.descending ? "descending" : "ascending";
      heads[i].setAttribute("aria-sort", column === sorted.column ? direction : "none");
    });
  }

  show();
  byId("results-table").append(make("table", {}, make("thead", {}, make("tr", {}, heads)), body));
}

function resultRow(row, columns) {
  const [name, ...rest] = columns.map((column) => String(column.show(row)));
  return make("tr", {}, make("th", { scope: "row", text: name }), rest.map((text) => make("td", { text })));
}

// What is unknown stays at the bottom, whichever way a column is sorted.
function order(a, b, { column, descending }) {
  const [x, y] = [column.value(a) ?? null, column.value(b) ?? null];
  if (x === null || y === null) return (x === null) - (y === null);
  const difference = typeof x === "string" ? x.localeCompare(y) : x - y;
  return descending ? -difference : difference;
}

function startGroups() {
  for (const by of ["level", "subject"]) {
    const slices = overview.summary[`by_${by}`];
    if (!slices?.length) continue;
    byId("levels").hidden = byId("levels-link").hidden = false;
    byId("levels-tables").append(
      make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Accuracy by ${by}` }, groupTable(by, slices)),
    );
  }
}

function groupTable(by, slices) {
  const labelOf = new Map(overview.cells.map((cell) => [cell.id, cell.label]));
  const groups = [...new Set(slices.map((slice) => slice[by]))];
  const samplings = overview.summary.coverage.map((curve) => JSON.stringify(curve.sampling));
  const nameOf = (slice) =>
    slice.cell === null
      ? overview.coverage_names[samplings.indexOf(JSON.stringify(slice.sampling))]?.replace("@n", `@${slice.n}`)
      : `${labelOf.get(slice.cell)}${slice.n === null ? "" : ` @${slice.n}`}`;
  const rows = groupBy(slices, nameOf);
  const head = [make("th", { scope: "col", text: `by ${by}, % [95 %]` }), groups.map((group) => make("th", { scope: "col", text: by === "level" ? `level ${group}` : group }))];
  const body = [...rows].map(([name, found]) =>
    make(
      "tr",
      {},
      make("th", { scope: "row", text: name }),
      groups.map((group) => {
        const slice = found.find((one) => one[by] === group);
        return make("td", { text: slice ? interval(slice.metrics[0]) : NOTHING });
      }),
    ),
  );
  return make("table", {}, make("thead", {}, make("tr", {}, head)), make("tbody", {}, body));
}

function groupBy(items, keyOf) {
  const groups = new Map();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) || []), item]);
  return groups;
}
