"use strict";
const items = new Map();  // an item's last card counts
for (const card of JSON.parse(document.getElementById("cards").textContent)) items.set(card.name, card);
const cards = [...items.values()];
// A warning of most items says nothing about one: it is shown once, above.
const kind = (text) => text.replace(/\(.*?\)/g, "").replace(/[\d.]+/g, "#");
for (const card of cards) {
  card.reasons ||= [];
  card.usual ||= [];
}
const made = cards.filter((card) => card.status === "done");
const counts = new Map();
for (const card of made)
  for (const sentence of new Set([...card.warnings, ...card.usual].map(kind))) counts.set(sentence, (counts.get(sentence) || 0) + 1);
const common = new Set([...counts].filter(([, n]) => made.length >= 5 && n > 0.6 * made.length).map(([text]) => text));
const examples = new Map();
for (const card of cards) {
  for (const warning of card.usual) examples.set(kind(warning), warning);
  for (const warning of card.warnings) if (common.has(kind(warning))) examples.set(kind(warning), warning);
  card.warnings = card.warnings.filter((warning) => !common.has(kind(warning)));
  if (card.error) card.error = card.error.replaceAll(card.input, card.input.split(/[\\/]/).pop());
}
const PAGE = 120;
const state = { filter: "all", sort: "order", search: "", shown: PAGE };
const number = (value) => (typeof value === "number" && isFinite(value) ? value : null);
const FILTERS = {
  all: ["All", () => true],
  done: ["Done", (c) => c.status === "done"],
  warnings: ["With warnings", (c) => c.status === "done" && c.warnings.length > 0],
  doubtful: ["Needs a look", (c) => c.light === "amber" || c.light === "red"],
  failed: ["Failed", (c) => c.status === "failed"],
  quarantined: ["Quarantined", (c) => c.status === "quarantined"],
};
const SORTS = {
  order: ["as they ended", null],
  name: ["name", (c) => c.name.toLowerCase()],
  light: ["doubtful first", (c) => (LIGHTS.includes(c.light) ? LIGHTS.indexOf(c.light) : 3)],
  match: ["outline least like the cutout first", (c) => number(c.match) ?? 2],
  psnr: ["worst colours first", (c) => number(c.psnr) ?? 1e9],
  seconds: ["slowest first", (c) => -(number(c.seconds) ?? 0)],
  faces: ["most faces first", (c) => -(number(c.faces) ?? 0)],
};
const LIGHTS = ["red", "amber", "green"];
const bar = document.getElementById("bar");
const grid = document.getElementById("grid");
const more = document.getElementById("more");

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

for (const [key, [label, accepts]] of Object.entries(FILTERS)) {
  const button = element("button", "", `${label} ${cards.filter(accepts).length}`);
  button.dataset.filter = key;
  button.onclick = () => { state.filter = key; state.shown = PAGE; draw(); };
  bar.append(button);
}
const sorts = element("select");
sorts.setAttribute("aria-label", "Order");
for (const [key, [label]] of Object.entries(SORTS)) sorts.append(new Option(label, key));
sorts.onchange = () => { state.sort = sorts.value; draw(); };
const search = element("input");
search.type = "search";
search.placeholder = "Search names, warnings, reasons";
search.oninput = () => { state.search = search.value.toLowerCase(); state.shown = PAGE; draw(); };
bar.append(sorts, search);
more.onclick = () => { state.shown += PAGE; draw(); };

if (examples.size) {
  const notes = document.getElementById("notes");
  notes.append(element("summary", "", examples.size === 1 ? "A note that holds for most items" : `${examples.size} notes that hold for most items`));
  for (const [text, example] of examples)
    notes.append(element("p", "note", `${example} (${counts.get(text)} of ${made.length})`));
  notes.hidden = false;
}

function drawCard(card) {
  const box = element("article", "item");
  const open = element(card.page ? "a" : "div", "open");
  if (card.page) open.href = `./${encodeURIComponent(card.name)}/${card.page}`;
  if (card.thumbnail) {
    const picture = element("img");
    picture.src = card.thumbnail;
    picture.alt = `${card.name}: photo and result`;
    picture.loading = "lazy";
    open.append(picture);
  } else {
    open.append(element("div", "none", card.status === "done" ? "no picture here" : "no result"));
  }
  const text = element("div", "text");
  const name = element("div", "name");
  const title = element("span", "title", card.name);
  title.title = card.input;
  if (LIGHTS.includes(card.light)) {
    const light = element("span", `light ${card.light}`);
    light.title = [card.light, ...card.reasons].join("; ");
    light.setAttribute("role", "img");
    light.setAttribute("aria-label", light.title);
    name.append(light);
  }
  name.append(title, element("span", `status ${card.status}`, card.status));
  open.append(name);
  for (const said of [card.surface, card.outline]) if (said) text.append(element("div", "numbers", said));
  const facts = [];
  if (number(card.faces) !== null) facts.push(`${card.faces.toLocaleString("en")} faces`);
  if (card.watertight === false) facts.push("not watertight");
  facts.push(`${card.seconds.toFixed(1)} s`);
  if (card.attempts > 1) facts.push(`${card.attempts} attempts`);
  text.append(element("div", "numbers", facts.join(" · ")));
  if (card.error) text.append(element("div", "error", card.error));
  for (const reason of card.reasons) text.append(element("div", "note", reason));
  for (const warning of card.warnings) text.append(element("div", "note", warning));
  text.append(chooser(card));
  box.append(open, text);
  return box;
}

// Some of them again: a page that opens from disk can start nothing, so it writes the command.
const chosen = new Set();
const again = document.getElementById("again");
const flags = element("input");
flags.setAttribute("aria-label", "Flags");
flags.value = `--preset ${again.dataset.preset} -o again`;
const command = element("textarea");
command.readOnly = true;
command.rows = 2;
command.setAttribute("aria-label", "Command");
command.onfocus = () => command.select();
const copy = element("button", "", "Copy");
const counted = element("span");
const line = element("div", "line");
line.append(counted, flags, copy);
again.append(line, command);
const quoted = (path) => `'${path.replaceAll("'", "'\\''")}'`;
function write() {
  const found = cards.filter((card) => chosen.has(card.name));
  again.hidden = !found.length;
  counted.textContent = `Make ${found.length} again with`;
  copy.textContent = "Copy";
  const plain = found.filter((card) => !card.mask).map((card) => quoted(card.input));
  const commands = plain.length ? [`img2mesh run ${plain.join(" ")} ${flags.value}`] : [];
  for (const card of found)
    if (card.mask) commands.push(`img2mesh run ${quoted(card.input)} --mask ${quoted(card.mask)} ${flags.value}`);
  command.value = commands.join("\n");
}
flags.oninput = write;
copy.onclick = async () => {
  try { await navigator.clipboard.writeText(command.value); copy.textContent = "Copied"; }
  catch { command.focus(); copy.textContent = "Now Ctrl+C"; }
};
function chooser(card) {
  const box = element("input");
  box.type = "checkbox";
  box.checked = chosen.has(card.name);
  box.onchange = () => { chosen[box.checked ? "add" : "delete"](card.name); write(); };
  const label = element("label", "choose");
  label.append(box, "make again");
  label.title = `Make ${card.name} again with other settings`;
  return label;
}

function draw() {
  for (const button of bar.querySelectorAll("button"))
    button.setAttribute("aria-pressed", String(button.dataset.filter === state.filter));
  const accepts = FILTERS[state.filter][1];
  const words = (c) => [c.name, c.input, c.error || "", ...c.reasons, ...c.warnings].join("\n").toLowerCase();
  let found = cards.filter((c) => accepts(c) && (!state.search || words(c).includes(state.search)));
  const key = SORTS[state.sort][1];
  if (key) found = found.map((c) => [key(c), c]).sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0)).map((p) => p[1]);
  grid.replaceChildren(...found.slice(0, state.shown).map(drawCard));
  if (!found.length) grid.append(element("p", "empty", "nothing here"));
  more.hidden = found.length <= state.shown;
  more.textContent = `Show more (${found.length - state.shown} left)`;
}
draw();
