// One problem opened: its text, and each strategy's attempt with its candidates and tree.

let asked = null; // the problem asked for last: an answer that comes late is thrown away

async function showProblem(number, { cell = null, truncated = false } = {}) {
  const pane = byId("detail");
  const problem = overview.problems[number];
  asked = number;
  pane.replaceChildren(problemHead(problem), make("p", { class: "muted", text: "Unpacking …" }));
  try {
    const detail = await detailOf(number);
    if (asked !== number) return;
    const attempts = detail.attempts.filter((one) => cell === null || one.cell === cell);
    const only = attempts.length === 1;
    pane.replaceChildren(problemHead(problem), ...attempts.map((one) => attemptView(detail, one, only, truncated)));
    if (!attempts.length) pane.append(make("p", { class: "muted", text: "No attempt." }));
  } catch (error) {
    pane.replaceChildren(problemHead(problem), make("p", { class: "notice", text: `Cannot show the attempts: ${error.message}` }));
  }
}

function problemHead(problem) {
  const about = [problem.level === null ? null : `level ${problem.level}`, problem.subject].filter(Boolean).join(" · ");
  return make(
    "header",
    {},
    make("button", { type: "button", class: "back", text: "← Back to the list", on: { click: leaveProblem } }),
    make("h3", { text: problem.id }),
    about ? make("p", { class: "muted", text: about }) : null,
    problem.text === null ? make("p", { class: "muted", text: "The run's manifest does not have the problem's text." }) : prose("div", problem.text, { class: "question" }),
    problem.reference === null ? null : make("p", {}, make("span", { class: "muted", text: "reference answer " }), prose("span", asFormula(problem.reference), { class: "answer" })),
  );
}

function attemptView(detail, attempt, open, truncated) {
  const cell = overview.cells[attempt.cell];
  const { pool } = attempt;
  const size = pool.answer.length;
  const right = pool.correct.filter((one) => one === true).length;
  const cut = pool.truncated.filter(Boolean).length;
  const summary = [
    make("span", { class: `mark ${attempt.correct ? "right" : "wrong"}`, text: attempt.correct ? "✓ right" : "✗ wrong" }),
    make("strong", { text: cell.label }),
    cell.n.length ? make("span", { class: "muted", text: sizeOf(cell) }) : null,
    overview.summary.seeds.length > 1 ? make("span", { class: "muted", text: `seed ${attempt.seed}` }) : null,
    attempt.status === "ok" ? null : make("span", { class: "mark flag", text: attempt.status.replace("_", " ") }),
    attempt.answer === null ? null : prose("span", asFormula(attempt.answer), { class: "answer" }),
    make("span", { class: "muted", text: `${right} of ${size} candidates right` }),
    cut ? make("span", { class: "mark flag", text: `✂ ${cut} cut off` }) : null,
    make("span", { class: "muted", text: `${count(attempt.tokens)} tokens` }),
  ].filter(Boolean);
  return folded({ class: "attempt" }, summary, () => attemptBody(detail, attempt, truncated), open);
}

function sizeOf(cell) {
  return cell.n.length > 1 ? `n = ${cell.n.at(-1)} (sweep ${cell.n.join(", ")})` : `n = ${cell.n[0]}`;
}

function attemptBody(detail, attempt, truncated) {
  const scale = scaleOf(attempt);
  const facts = Object.entries(attempt.facts);
  const body = [];
  if (attempt.error) body.push(make("p", { class: "notice", text: attempt.error }));
  if (facts.length) body.push(make("p", { class: "muted", text: facts.map(([name, value]) => `${name} ${plain(value, 4)}`).join(" · ") }));
  if (attempt.tree) {
    body.push(folded({ class: "search" }, [make("strong", { text: "Search tree" }), make("span", { class: "muted", text: `${attempt.tree.parent.length} steps` })], () => treeView(attempt, scale)));
  }
  const list = make("div", { class: "candidates" });
  // The chosen one first, for it is what a reader looks for; the others as they were drawn.
  const places = attempt.pool.answer.map((_, i) => i).filter((i) => !truncated || attempt.pool.truncated[i]);
  places.sort((a, b) => (b === attempt.chosen) - (a === attempt.chosen) || a - b);
  grow(list, places, (i) => candidateView(detail, attempt, i, scale), 64);
  body.push(list);
  return body;
}

function leaveProblem() {
  history.replaceState(null, "", "#problems");
  byId("problems").classList.remove("reading");
  document.querySelector("#list [aria-current]")?.focus();
}
