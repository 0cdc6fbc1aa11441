// The list of problems, and the filters over it.

const OUTCOMES = {
  any: "any outcome",
  all: "solved by all strategies",
  none: "solved by none",
  disagree: "strategies disagree",
  right: "right",
  wrong: "wrong",
  missed: "right candidate, wrong choice",
};

function startProblems() {
  const filters = drawFilters(() => showList(filters));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", () => openFromAddress(filters));
  showList(filters);
  openFromAddress(filters);
}

function drawFilters(changed) {
  const form = byId("filters");
  const select = (label, options) => {
    const element = make("select", { on: { change: changed } });
    for (const [value, text] of options) element.append(make("option", { value, text }));
    form.append(make("label", {}, `${label} `, element));
    return element;
  };
  let typing = 0;
  const search = make("input", {
    type: "search",
    placeholder: "id or text",
    on: {
      input: () => {
        clearTimeout(typing);
        typing = setTimeout(changed, 120);
      },
    },
  });
  form.append(make("label", {}, "Search ", search));
  const values = (key) => [...new Set(overview.problems.map((one) => one[key]))].filter((one) => one !== null);
  const levels = values("level").sort((a, b) => a - b);
  const subjects = values("subject").sort();
  const level = select("Level", [["", "any"], ...levels.map((one) => [one, one])]);
  const subject = select("Subject", [["", "any"], ...subjects.map((one) => [one, one])]);
  level.parentElement.hidden = !levels.length;
  subject.parentElement.hidden = !subjects.length;
  const strategy = select("Strategy", [["", "any"], ...overview.cells.map((cell, i) => [i, `${cell.label} ${cell.n.length ? `@${cell.n.at(-1)}` : ""}`])]);
  const outcome = select("Outcome", Object.entries(OUTCOMES));
  const truncated = make("input", { type: "checkbox", on: { change: changed } });
  form.append(make("label", {}, truncated, " only cut off"));
  const latex = make("input", { type: "checkbox", checked: rendered, on: { change: () => showLatex(latex.checked ? "rendered" : "raw") } });
  form.append(make("label", {}, latex, " render LaTeX"));
  return () => ({
    search: search.value.trim().toLowerCase(),
    level: level.value,
    subject: subject.value,
    cell: strategy.value === "" ? null : Number(strategy.value),
    outcome: outcome.value,
    truncated: truncated.checked,
  });
}

function matches(problem, wanted) {
  if (wanted.level !== "" && String(problem.level) !== wanted.level) return false;
  if (wanted.subject !== "" && problem.subject !== wanted.subject) return false;
  if (wanted.search && !`${problem.id}\n${problem.text ?? ""}`.toLowerCase().includes(wanted.search)) return false;
  const every = overview.cells.map((_, i) => countsOf(problem, i)).filter(Boolean);
  const chosen = wanted.cell === null ? every : [countsOf(problem, wanted.cell)].filter(Boolean);
  if (wanted.truncated && !chosen.some((one) => one.truncated)) return false;
  return hasOutcome(wanted.outcome, every, chosen);
}

// The first three speak of all strategies, the others of the one chosen (or of any).
function hasOutcome(outcome, every, chosen) {
  const solved = (one) => one.right === one.attempts;
  const failed = (one) => one.right === 0;
  switch (outcome) {
    case "all":
      return every.length > 0 && every.every(solved);
    case "none":
      return every.every(failed);
    case "disagree":
      return !every.every(solved) && !every.every(failed);
    case "right":
      return chosen.some((one) => one.right > 0);
    case "wrong":
      return chosen.some((one) => one.right < one.attempts);
    case "missed":
      return chosen.some((one) => one.right < one.attempts && one.candidatesRight > 0);
    default:
      return true;
  }
}

let stopGrowing = () => {};

function showList(filters) {
  const wanted = filters();
  const found = overview.problems.map((_, number) => number).filter((number) => matches(overview.problems[number], wanted));
  const list = byId("list");
  stopGrowing();
  list.replaceChildren();
  byId("matching").textContent = `${found.length} of ${overview.problems.length} problems`;
  stopGrowing = grow(list, found, (number) => problemRow(number, filters));
}

function problemRow(number, filters) {
  const problem = overview.problems[number];
  const verdicts = overview.cells.map((cell, i) => {
    const counts = countsOf(problem, i);
    const [sign, kind, words] = verdictSign(counts);
    return make("span", { class: `sign ${kind}`, text: sign, title: `${cell.label}: ${words}` });
  });
  const button = make(
    "button",
    { type: "button", "data-number": number, on: { click: () => openProblem(number, filters) } },
    make("span", { class: "name", text: problem.id }),
    problem.level === null ? null : make("span", { class: "muted", text: `level ${problem.level}` }),
    make("span", { class: "signs" }, verdicts),
    problem.text === null ? null : make("span", { class: "excerpt", text: excerpt(problem.text) }),
  );
  if (number === asked) button.setAttribute("aria-current", "true");
  return make("li", {}, button);
}

function verdictSign(counts) {
  if (!counts) return ["·", "absent", "no attempt"];
  if (counts.right === counts.attempts) return ["✓", "right", "right"];
  if (counts.right === 0) return ["✗", "wrong", "wrong"];
  return ["±", "mixed", `right in ${counts.right} of ${counts.attempts} seeds`];
}

function openProblem(number, filters) {
  // Written rather than assigned: an assigned hash would fire the event that opens it again.
  history.replaceState(null, "", `#problem=${encodeURIComponent(overview.problems[number].id)}`);
  for (const button of document.querySelectorAll("#list [aria-current]")) button.removeAttribute("aria-current");
  document.querySelector(`#list [data-number="${number}"]`)?.setAttribute("aria-current", "true");
  byId("problems").classList.add("reading");
  const { cell, truncated } = filters();
  const done = showProblem(number, { cell, truncated });
  byId("detail").focus({ preventScroll: true });
  if (byId("detail").getBoundingClientRect().top < 0 || narrow()) byId("detail").scrollIntoView();
  return done;
}

function narrow() {
  return matchMedia("(max-width: 800px)").matches;
}

// A link to a problem: report.html#problem=<id>.
function openFromAddress(filters) {
  const found = /^#problem=(.+)$/.exec(location.hash);
  if (!found) return;
  let id;
  try {
    id = decodeURIComponent(found[1]);
  } catch {
    return; // not an address that this page wrote
  }
  const number = overview.problems.findIndex((problem) => problem.id === id);
  if (number >= 0) openProblem(number, filters).then(() => byId("detail").scrollIntoView());
}
