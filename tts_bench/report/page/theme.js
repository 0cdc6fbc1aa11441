// Light or dark: the system's choice until a reader makes one.

const themeChanged = [];

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function startTheme() {
  const button = byId("theme");
  const remembered = remember("tts-bench-theme");
  if (remembered === "dark" || remembered === "light") document.documentElement.dataset.theme = remembered;
  function show() {
    button.textContent = isDark() ? "Light theme" : "Dark theme";
    for (const changed of themeChanged) changed();
  }
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    remember("tts-bench-theme", document.documentElement.dataset.theme);
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  show();
}

// Storage is denied to files in some browsers; a page works without.
function remember(key, value) {
  try {
    if (value !== undefined) localStorage.setItem(key, value);
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function colourOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
