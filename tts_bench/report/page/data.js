// The run: an overview that is there at once, and a compressed chunk for each problem.

const overview = JSON.parse(byId("overview").textContent);
const omissions = JSON.parse(byId("omissions").textContent);

const KEPT = 8; // opened problems of which the detail stays in memory
const opened = new Map();

async function detailOf(number) {
  if (!opened.has(number)) opened.set(number, unpack(byId(`chunk-${number}`).textContent));
  const detail = opened.get(number);
  // The last used goes to the end; the first is the one to forget.
  opened.delete(number);
  opened.set(number, detail);
  if (opened.size > KEPT) opened.delete(opened.keys().next().value);
  return detail;
}

async function unpack(base64) {
  if (typeof DecompressionStream === "undefined")
    throw new Error("this browser is too old to unpack the attempts (it lacks DecompressionStream)");
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

// The counts of a problem in one cell, in the order in which the page's maker writes them.
function countsOf(problem, cell) {
  const found = problem.counts[cell];
  if (!found) return null;
  const [attempts, right, candidates, candidatesRight, truncated, ungraded] = found;
  return { attempts, right, candidates, candidatesRight, truncated, ungraded };
}
