// LaTeX in texts, rendered when it comes into view. KaTeX's own auto-render takes every pair of
// dollar signs for a formula, which "$3 for one and $5 for two" is not; so formulas are found here.

// A model that repeats itself writes thousands of openings that nothing closes; without a limit to
// how far each is followed, and to how many formulas are typeset, its text would hold up the page.
const LONGEST_FORMULA = 3000;
const MOST_FORMULAS = 500;
const KATEX = { throwOnError: true, trust: false, strict: "ignore", maxExpand: 200, maxSize: 20 };
const FORMULA = new RegExp(
  [
    String.raw`\$\$(?<block>[^]{1,${LONGEST_FORMULA}}?)\$\$`,
    String.raw`\\\[(?<bracket>[^]{1,${LONGEST_FORMULA}}?)\\\]`,
    String.raw`\\\((?<paren>[^]{1,${LONGEST_FORMULA}}?)\\\)`,
    String.raw`(?<environment>\\begin\{(?<name>(?:align|equation|gather|alignat|multline)\*?)\}[^]{1,${LONGEST_FORMULA}}?\\end\{\k<name>\})`,
    // As in Pandoc: no white space inside the signs, no digit behind them, not over a blank line.
    String.raw`(?<![\\$])\$(?<inline>(?=\S)(?:[^$\\\n]|\\[^]|\n(?!\s*\n)){1,${LONGEST_FORMULA}}?(?<=\S))\$(?![\d$])`,
    String.raw`(?<boxed>\\boxed\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})`,
  ].join("|"),
  "g",
);

let rendered = remember("tts-bench-latex") !== "raw";
const texts = new WeakMap();
const inView = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      inView.unobserve(entry.target);
      typeset(entry.target);
    }
  },
  { rootMargin: "200px" },
);

// An element that shows a text as it is and, once in view, with its formulas typeset.
function prose(tag, text, properties = {}) {
  const element = make(tag, { ...properties, class: `prose ${properties.class || ""}`.trim() });
  element.textContent = text;
  texts.set(element, text);
  if (rendered) inView.observe(element);
  return element;
}

function typeset(element) {
  const text = texts.get(element);
  const parts = [];
  let last = 0;
  for (const found of text.matchAll(FORMULA)) {
    if (parts.length > 2 * MOST_FORMULAS) break;
    const { block, bracket, environment, paren, inline, boxed } = found.groups;
    const display = block ?? bracket ?? environment;
    parts.push(text.slice(last, found.index));
    parts.push(formula(display ?? paren ?? inline ?? boxed, display !== undefined, found[0]));
    last = found.index + found[0].length;
  }
  if (!parts.length) return;
  element.replaceChildren(...parts, text.slice(last));
}

function formula(source, display, raw) {
  const span = make("span", { class: display ? "formula block" : "formula", title: raw.slice(0, 300) });
  try {
    katex.render(source, span, { ...KATEX, displayMode: display });
  } catch {
    // Models write broken LaTeX; what they wrote is then the best that can be shown.
    span.textContent = raw;
    span.classList.add("broken");
  }
  return span;
}

function showLatex(as) {
  rendered = as === "rendered";
  remember("tts-bench-latex", as);
  for (const element of document.querySelectorAll(".prose")) {
    element.textContent = texts.get(element);
    if (rendered) inView.observe(element);
    else inView.unobserve(element);
  }
}
