// The tree of a search as nested folds: each step with its score, its children built when opened.

function treeView(attempt, scale) {
  const { tree, pool } = attempt;
  const children = tree.parent.map(() => []);
  const roots = [];
  tree.parent.forEach((parent, node) => (parent === null ? roots : children[parent]).push(node));
  const ends = new Map();
  pool.node.forEach((node, candidate) => {
    if (node !== null) ends.set(node, [...(ends.get(node) || []), candidate]);
  });
  const chosen = new Set(attempt.chosen === null ? [] : pathTo(tree, pool.node[attempt.chosen]));
  const view = { attempt, children, ends, chosen, scale };
  const items = make("ul", { class: "tree" }, roots.map((node) => treeNode(view, node, false)));
  const open = make("button", { type: "button", text: "Open the chosen path", on: { click: show } });

  function show() {
    items.replaceChildren(...roots.map((node) => treeNode(view, node, true)));
  }
  const size = `${tree.parent.length} steps, ${roots.length} of them first steps`;
  return [make("p", { class: "muted" }, `${size}. `, chosen.size ? open : null), items];
}

// Steps from the first to `node`.
function pathTo(tree, node) {
  const path = [];
  for (let at = node ?? null; at !== null; at = tree.parent[at]) path.unshift(at);
  return path;
}

function treeNode(view, node, openChosen) {
  const { attempt, children, ends, chosen, scale } = view;
  const { tree, pool } = attempt;
  const below = children[node];
  const text = tree.text[node];
  const marks = (ends.get(node) || []).map((candidate) => [
    make("span", { class: "mark", text: `ends #${candidate}` }),
    verdictOf(pool, candidate),
  ]);
  const dropped = !below.length && !ends.has(node);
  const summary = [
    make("span", { class: "number", text: `step ${tree.step[node]}` }),
    scoreChip(tree.score[node], scale),
    chosen.has(node) ? make("span", { class: "mark chosen", text: "chosen path" }) : null,
    dropped ? make("span", { class: "mark", text: "dropped" }) : null,
    marks,
    below.length ? make("span", { class: "muted", text: `${below.length} below` }) : null,
    make("span", { class: "excerpt", text: excerpt(text) }),
  ];
  const build = () => [
    text === undefined ? make("p", { class: "muted", text: "text left out" }) : prose("div", text.trimEnd(), { class: "step" }),
    below.length ? make("ul", { class: "tree" }, below.map((child) => treeNode(view, child, openChosen))) : null,
  ].filter(Boolean);
  const kind = chosen.has(node) ? "node on-path" : dropped ? "node dropped" : "node";
  return make("li", {}, folded({ class: kind }, summary.flat(2).filter(Boolean), build, openChosen && chosen.has(node)));
}

function excerpt(text, length = 90) {
  const line = (text || "").trim().replace(/\s+/g, " ");
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}
