// Elements, words for numbers, and the two ways to tell something: a toast and the live region.
export const byId = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made[name] = value;
    else if (name === "text") made.textContent = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const button = (text, onclick, attributes = {}) =>
  element("button", { type: "button", text, onclick, ...attributes });

// A button that asks the server: dead meanwhile, alive again whatever comes of it.
export function asking(text, ask, attributes = {}) {
  const made = button(text, async () => {
    made.disabled = true;
    try { await ask(); }
    catch (error) { toast(error.message, true); }
    finally { made.disabled = false; }
  }, attributes);
  return made;
}

export const size = (bytes) =>
  bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;

export const duration = (seconds) =>
  seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`;

export const percent = (share) => `${Math.round(100 * share)} %`;

export function toast(text, bad = false) {
  const made = element("div", { class: bad ? "toast bad" : "toast" }, element("span", { text }));
  const close = button("×", () => made.remove(), { "aria-label": "Close this message" });
  made.append(close);
  byId("toasts").append(made);
  say(text);
  if (!bad) setTimeout(() => made.remove(), 8000);
  while (byId("toasts").children.length > 5) byId("toasts").firstChild.remove();
}

export function say(text) {
  if (byId("live").textContent !== text) byId("live").textContent = text;
}

export const uniqueId = ((count) => () => `e${++count}`)(0);
