// Numbers as people read them; what is unknown is a dash.

const NOTHING = "–";
const PREFIXES = ["", "k", "M", "G", "T", "P", "E", "Z", "Y"];

function percent(share, digits = 1) {
  return share === null || share === undefined ? NOTHING : (100 * share).toFixed(digits);
}

function interval(metric) {
  return metric
    ? `${percent(metric.value)} [${percent(metric.ci95[0])}, ${percent(metric.ci95[1])}]`
    : NOTHING;
}

function signedInterval(metric) {
  if (!metric) return NOTHING;
  const points = (share) => (share === null ? NOTHING : (share >= 0 ? "+" : "") + percent(share));
  return `${points(metric.value)} [${points(metric.ci95[0])}, ${points(metric.ci95[1])}]`;
}

function si(number, digits = 3) {
  if (number === null || number === undefined) return NOTHING;
  if (number === 0) return "0";
  let power = 0;
  while (Math.abs(Number(number.toPrecision(digits))) >= 1000 && power < PREFIXES.length - 1) {
    number /= 1000;
    power += 1;
  }
  return Number(number.toPrecision(digits)) + PREFIXES[power];
}

function count(number) {
  // A narrow space that does not break between groups of three digits.
  if (number === null || number === undefined) return NOTHING;
  return String(Math.round(number)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

function plain(number, digits = 3) {
  return number === null || number === undefined ? NOTHING : String(Number(number.toPrecision(digits)));
}

function money(dollars, digits = 3) {
  if (dollars === null || dollars === undefined) return NOTHING;
  if (dollars === 0) return "$0";
  const power = Math.floor(Math.log10(Math.abs(dollars)));
  return `$${dollars.toFixed(Math.max(0, digits - 1 - power))}`;
}

function metricOf(row, name) {
  return row.metrics.find((metric) => metric.metric === name) || null;
}

function settingsOf(values) {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(", ");
}
