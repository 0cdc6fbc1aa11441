// One candidate: its answer and marks at a glance, its text step by step when opened.

const SHADES = 9;

// Scores as shades between two colours that no common colour blindness mixes up. Shares of 1 turn
// at a half; other scores between the lowest and the highest of the attempt.
function scaleOf(attempt) {
  const scores = [...attempt.pool.score, ...attempt.pool.steps.flat(), ...(attempt.tree?.score || [])];
  let low = 0;
  let high = 1;
  if (scores.some((score) => score < 0 || score > 1)) {
    low = scores.reduce((a, b) => Math.min(a, b), Infinity);
    high = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  }
  return { low, high };
}

function shadeOf(score, { low, high }) {
  const share = high > low ? (score - low) / (high - low) : 0.5;
  return `shade-${Math.min(SHADES - 1, Math.max(0, Math.floor(share * SHADES)))}`;
}

function scoreChip(score, scale, title = "score") {
  if (score === null || score === undefined) return null;
  return make("span", { class: `chip ${shadeOf(score, scale)}`, title, text: plain(score) });
}

function verdictOf(pool, i) {
  if (pool.correct[i] === null) return make("span", { class: "mark flag", text: "? not graded", title: "grading timed out; counts as wrong" });
  if (pool.answer[i] === null) return make("span", { class: "mark flag", text: "∅ no answer" });
  return pool.correct[i] ? make("span", { class: "mark right", text: "✓ right" }) : make("span", { class: "mark wrong", text: "✗ wrong" });
}

function candidateView(detail, attempt, i, scale) {
  const { pool } = attempt;
  const error = pool.first_error[i] ?? -1;
  const summary = [
    make("span", { class: "number", text: `#${i}` }),
    verdictOf(pool, i),
    i === attempt.chosen ? make("span", { class: "mark chosen", text: "★ chosen" }) : null,
    pool.answer[i] === null ? null : prose("span", asFormula(pool.answer[i]), { class: "answer" }),
    scoreChip(pool.score[i], scale),
    pool.truncated[i] ? make("span", { class: "mark flag", text: "✂ cut off" }) : null,
    error >= 0 ? make("span", { class: "mark flag", text: `⚠ first error: step ${error + 1}` }) : null,
    make("span", { class: "muted", text: `${count(pool.tokens[i])} tokens` }),
  ].filter(Boolean);
  return folded({ class: i === attempt.chosen ? "candidate is-chosen" : "candidate" }, summary, () => candidateBody(detail, attempt, i, scale));
}

// Answers are LaTeX without its signs; a plain number or word reads the same either way.
function asFormula(answer) {
  return /[\\^_{}]/.test(answer) && !answer.includes("$") ? `$${answer.trim()}$` : answer;
}

function candidateBody(detail, attempt, i, scale) {
  const { pool, tree } = attempt;
  const facts = [
    pool.parent[i] === null || pool.parent[i] === undefined ? null : `continues #${pool.parent[i]}`,
    pool.logprob.length ? `log-probability ${plain(pool.logprob[i], 4)} nats` : null,
  ].filter(Boolean);
  const node = pool.node[i];
  const path = node === null ? [] : pathTo(tree, node);
  const steps = node === null ? detail.texts[pool.text[i]] : tree.text.length ? path.map((at) => tree.text[at]) : undefined;
  const own = pool.steps[i] || [];
  const scores = own.length || node === null ? own : path.map((at) => tree.score[at]);
  const body = [facts.length ? make("p", { class: "muted", text: facts.join(" · ") }) : null];
  if (!steps) body.push(make("p", { class: "muted", text: absence() }), scoreStrip(scores, pool.first_error[i], scale));
  else if (steps.length === scores.length) body.push(stepList(steps, scores, pool.first_error[i], scale));
  else body.push(scoreStrip(scores, pool.first_error[i], scale), prose("div", steps.join(""), { class: "step whole" }));
  return body.filter(Boolean);
}

function stepList(steps, scores, error, scale) {
  return make(
    "ol",
    { class: "steps" },
    steps.map((text, place) =>
      make(
        "li",
        { class: place === error ? `step error ${shadeOf(scores[place], scale)}` : `step ${shadeOf(scores[place], scale)}` },
        make(
          "div",
          { class: "step-head" },
          make("span", { class: "number", text: `step ${place + 1}` }),
          scoreChip(scores[place], scale, "score of the solution up to and with this step"),
          place === error ? make("span", { class: "mark flag", text: "⚠ first error" }) : null,
        ),
        prose("div", text.trimEnd()),
      ),
    ),
  );
}

// Scores without the texts they belong to, or cut in other places than the text.
function scoreStrip(scores, error, scale) {
  if (!scores.length) return null;
  return make(
    "p",
    { class: "strip" },
    "step scores ",
    scores.map((score, place) => [scoreChip(score, scale, `step ${place + 1}`), place === error ? make("span", { class: "mark flag", text: "⚠ first error" }) : null]).flat(),
  );
}

function absence() {
  if (!omissions.texts) return "No text: the run's generation store was not there when this page was made.";
  if (omissions.problems.length) return "Text left out to keep this page small; candidates.parquet has it.";
  return "No text is stored of this candidate.";
}
