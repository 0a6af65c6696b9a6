// The list of photos: newest first, groups together, arrows go through it.
import * as api from "./api.js";
import { asking, byId, element, percent } from "./dom.js";
import { done, known, last, look, needsLook, newestFirst, photos, select } from "./state.js";

const strip = byId("strip");
const FILTERS = {
  all: ["All", () => true],
  look: ["Needs a look", needsLook],
  done: ["Done", (photo) => photo.state === "done"],
  failed: ["Failed", (photo) => photo.state === "failed"],
};
const SAID = {
  sending: "sending", cutting: "looking for the object", asking: "asks you", waiting: "waiting",
  running: "working", done: "done", failed: "failed", cancelled: "cancelled",
};
let filter = "all";
const tiles = new Map();  // id: { root, button, ... }

const list = element("div", { class: "tiles" });
const choice = element("select", { "aria-label": "Which photos are shown" });
const options = Object.entries(FILTERS).map(([key]) => choice.appendChild(new Option("", key)));
choice.onchange = () => { filter = choice.value; draw(); };
const clear = asking("Clear", async () => {
  for (const photo of [...photos.values()])
    if (["done", "failed", "cancelled"].includes(photo.state)) await api.remove(photo.id);
  await look();
}, { title: "Takes what has ended off the list; folders stay", "aria-label": "Clear the list" });
strip.append(element("div", { class: "row filter" }, choice, clear), list);

function fraction(photo) {
  const version = last(photo);
  if (photo.state === "sending") return photo.fraction;
  return version.state === "running" ? version.fraction : null;
}

function tile(photo) {
  const image = element("img", { alt: "", loading: "lazy", width: 64, height: 64 });
  const name = element("span", { class: "name", text: photo.name });
  const state = element("span", { class: "state" });
  const open = element("button", { type: "button", class: "tile", onclick: () => select(photo.id) },
    image, element("span", { class: "text" }, name, state));
  const away = asking("×", async () => {
    const now = photos.get(photo.id);
    if (now?.sending) now.stop.abort();
    else { await api.remove(photo.id); await look(); }
  }, { class: "away", "aria-label": `Remove ${photo.name} from the list` });
  const root = element("div", { class: "entry", "data-id": photo.id }, open, away);
  return { root, open, image, state, picture: "" };
}

function refresh(made, photo) {
  const version = last(photo);
  const busy = ["running", "waiting", "cutting"].includes(version.state) ? version.state : photo.state;
  const share = fraction(photo);
  const looks = busy === "done" && needsLook(photo);
  const text = (share === null || share === undefined ? SAID[busy] : `${SAID[busy]} ${percent(share)}`) + (looks ? ", needs a look" : "");
  if (made.state.textContent !== text) made.state.textContent = text;
  made.state.className = `state ${looks ? "look" : busy}`;
  if (photo.id === known.selected) made.open.setAttribute("aria-current", "true");
  else made.open.removeAttribute("aria-current");
  const finished = done(photo).at(-1);
  const picture = photo.photo ? api.thumbnail(photo.id)
    : photo.url || (finished?.files["cutout.png"] ? api.file(photo.id, finished.number, "cutout.png") : "");
  if (picture && made.picture !== picture) made.image.src = made.picture = picture;
}

function groupHead(name, members) {
  const count = (...states) => members.filter((photo) => states.includes(photo.state)).length;
  const [ended, failed] = [count("done", "failed", "cancelled"), count("failed")];
  const head = element("div", { class: "group" }, element("b", { text: name }),
    element("progress", { max: String(members.length), value: String(ended), "aria-label": `${name}: ended` }),
    element("span", { class: "soft", text: `${ended} of ${members.length}${failed ? `, ${failed} failed` : ""}` }));
  const finished = members.filter((photo) => done(photo).length);
  if (finished.length) head.append(element("a", { href: api.zip(finished.map((photo) => photo.id)), text: "zip of all" }));
  return head;
}

export function draw() {
  const all = newestFirst();
  strip.hidden = all.length === 0;
  const [, accepts] = FILTERS[filter];
  for (const option of options) {
    const [text, fits] = FILTERS[option.value];
    const said = `${text} ${all.filter(fits).length}`;
    if (option.text !== said) option.text = said;
  }
  const rows = [];
  const grouped = new Set();
  for (const photo of all) {
    if (photo.group && !grouped.has(photo.group)) {
      grouped.add(photo.group);
      const members = all.filter((one) => one.group === photo.group);
      rows.push(groupHead(photo.group, members), ...members.filter(accepts).map(rowOf));
    } else if (!photo.group && accepts(photo)) rows.push(rowOf(photo));
  }
  for (const id of tiles.keys()) if (!photos.has(id)) tiles.delete(id);
  if (!rows.length && all.length) rows.push(element("p", { class: "soft", text: "nothing here" }));
  const before = [...list.children];
  const same = before.length === rows.length && rows.every((row, n) => row === before[n]);
  if (!same) {
    const focused = document.activeElement;
    list.replaceChildren(...rows);
    if (list.contains(focused)) focused.focus({ preventScroll: true });
  }
}

function rowOf(photo) {
  let made = tiles.get(photo.id);
  if (!made) tiles.set(photo.id, made = tile(photo));
  refresh(made, photo);
  return made.root;
}

list.onkeydown = (event) => {
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const buttons = [...list.querySelectorAll(".tile")];
  const next = buttons[buttons.indexOf(document.activeElement) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
  next.click();
};
