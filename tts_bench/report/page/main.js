// Starts every part; what one of them meets does not keep the others from showing.

function start(part) {
  try {
    part();
  } catch (error) {
    const failure = byId("failure");
    failure.hidden = false;
    failure.append(make("p", { text: `A part of this page could not be shown: ${error.message}` }));
    console.error(error);
  }
}

function startNotes() {
  const left = omissions.problems.length;
  const notes = [...overview.summary.notes];
  if (!omissions.texts) notes.push("texts are missing: the run's generation store was not there when this page was made");
  if (left) notes.push(`texts of ${left} of ${overview.problems.length} problems are left out to keep this page small; candidates.parquet has them`);
  byId("notes").append(...notes.map((text) => make("li", { text })));
}

for (const part of [startTheme, startNotes, startCurves, startResults, startGroups, startProblems]) start(part);
document.documentElement.dataset.ready = "true";
