// Elements. Everything a model wrote reaches the page through textContent or a text node, so it
// is never parsed as HTML; no attribute that can hold a link or a script is ever set from data.

function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") element.textContent = spelled(value);
    else if (name === "on") listen(element, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...nodes(children));
  return element;
}

// Lists within lists are one list; what is neither text nor a node is a fault and never a text such
// as the name of its class.
function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined)
    .map((child) => (child instanceof Node ? child : spelled(child)));
}

function spelled(value) {
  if (typeof value === "object") throw new TypeError("an object is no text");
  return String(value);
}

function listen(element, handlers) {
  for (const [event, handler] of Object.entries(handlers)) element.addEventListener(event, handler);
}

function byId(id) {
  return document.getElementById(id);
}

// A <details> whose body is built when it is first opened: most of them never are.
function folded(properties, summary, build, open) {
  const details = make("details", properties, make("summary", {}, summary));
  let built = false;
  function unfold() {
    if (built || !details.open) return;
    built = true;
    details.append(...nodes([build()]));
  }
  details.addEventListener("toggle", unfold);
  if (open) {
    details.open = true;
    unfold();
  }
  return details;
}

// Appends `items` batch by batch: the next when the end of the last comes near the window.
function grow(list, items, build, batch = 40) {
  let shown = 0;
  const more = make("button", { type: "button", class: "more", on: { click: next } });
  const end = make(list.tagName === "OL" || list.tagName === "UL" ? "li" : "div", { class: "end" }, more);
  const watch = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && next(), {
    rootMargin: "300px",
  });
  function next() {
    const upTo = Math.min(items.length, shown + batch);
    const fragment = document.createDocumentFragment();
    for (; shown < upTo; shown++) fragment.append(build(items[shown], shown));
    end.remove();
    list.append(fragment);
    if (shown >= items.length) return watch.disconnect();
    more.textContent = `Show more (${items.length - shown} left)`;
    list.append(end);
    // Observed anew: an end that stays in view would not be reported again.
    watch.unobserve(end);
    watch.observe(end);
  }
  next();
  return () => watch.disconnect();
}
