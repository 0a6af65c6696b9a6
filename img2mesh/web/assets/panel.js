// The right: what came of it, what could be changed and at which price, what can be taken.
import * as api from "./api.js";
import { asking, button, byId, element, size, toast, uniqueId } from "./dom.js";
import { edit, looked, view } from "./stage.js";
import { known, last, look, selected } from "./state.js";

const panel = byId("panel");
let shown = "";

export function draw() {
  const photo = selected();
  const version = photo && !view.editing ? looked(photo) : null;
  panel.hidden = !version;
  const busy = photo ? !["done", "failed", "cancelled"].includes(last(photo).state) : false;
  const key = version ? [photo.id, version.number, busy, photo.here].join("|") : "";
  if (key === shown) return;
  shown = key;
  if (!version) { panel.replaceChildren(); return; }
  panel.replaceChildren(got(photo, version), change(photo, version, busy), take(photo, version));
}

const fold = (title, ...inside) =>
  element("details", { open: true }, element("summary", {}, element("h3", { text: title })), ...inside);

function got(photo, version) {
  const report = version.report;
  const inside = [];
  if (version.shares)
    inside.push(element("div", { class: "share", "aria-hidden": "true" },
      ...Object.entries(version.shares).map(([name, share]) => element("span", { class: name, style: `flex-grow:${share}` }))));
  inside.push(...version.sentences.map((text) => element("p", { text })));
  if (report.verdict?.light === "red") inside.push(element("p", { class: "error", text: "Probably wrong: look before you use it." }));
  const offered = new Set();  // one button a remedy, however many notes ask for it
  for (const note of version.notes.filter((one) => !one.usual)) {
    const first = !offered.has(note.remedy);
    offered.add(note.remedy);
    inside.push(element("div", { class: "note" }, element("p", { text: note.text }), first ? remedy(photo, note) : null));
  }
  const facts = [];
  if (report.faces) facts.push(`${report.faces.toLocaleString("en")} triangles`);
  if (report.watertight !== undefined) facts.push(report.watertight ? "closed" : "not closed");
  facts.push(`${report.seconds_this_run.toFixed(1)} s`);
  const reused = Object.values(report.cached || {}).filter(Boolean).length;
  if (reused) facts.push(`${reused} stage${reused > 1 ? "s" : ""} from the cache`);
  inside.push(element("p", { class: "soft", text: facts.join(" · ") }));
  const row = element("div", { class: "row" });
  if (photo.here && !offered.has("cutout")) row.append(button("Correct the cutout", () => edit("brush")));
  if (version.files["report.html"])
    row.append(element("a", { class: "button", href: api.file(photo.id, version.number, "report.html"), target: "_blank", rel: "noopener", text: "Report" }));
  inside.push(row, element("details", {}, element("summary", { text: "What is a guess" }),
    element("p", { class: "soft", text: `Views drawn by ${version.drawn_by}.` }),
    ...version.notes.filter((note) => note.usual).map((note) => element("p", { class: "soft", text: note.text })),
    element("p", { class: "soft", text: `In ${version.folder}` })));
  return fold("What you got", ...inside);
}

function remedy(photo, note) {
  if (!photo.here) return null;
  switch (note.remedy) {
    case "cutout": return button("Correct the cutout", () => edit("brush"));
    case "finer": return asking("Make it finer", () => make(photo, { preset: "high" }));
    case "faces": return button("Change the triangles", () => panel.querySelector("#faces")?.focus());
  }
  return null;
}

async function make(photo, wish) {
  await api.again(photo.id, wish);
  view.version = null;
  await look();
}

const labelled = (text, field, ...more) => {
  field.id ||= uniqueId();
  return element("div", { class: "field" }, element("label", { for: field.id, text }), ...more, field);
};

function select(choices, value) {
  const made = element("select");
  for (const [key, text] of choices) made.append(new Option(text, key, false, String(key) === String(value)));
  return made;
}

function change(photo, version, busy) {
  if (!photo.here) return fold("Change", element("p", { class: "soft", text: "The photo itself is no longer here: drop it again to change anything." }));
  const about = known.server;
  const wish = version.wish;
  const preset = select(about.presets.map((name) => [name, name]), wish.preset || about.preset);
  const base = () => {
    const own = about.preset_values[about.preset] || {};
    const chosen = about.preset_values[preset.value] || {};
    const value = (name) => chosen[name] ?? (name in own && own[name] === about.values[name]
      ? about.settings.find((one) => one.name === name).default : about.values[name]);
    return value;
  };
  const now = (name) => wish.settings?.[name] ?? base()(name);
  const generator = select(about.generators.map((one) =>
    [one.name, one.name]), now("views.generator"));
  const licence = element("p", { class: "soft" });
  const tellLicence = () => {
    const one = about.generators.find((found) => found.name === generator.value);
    licence.textContent = one?.licences.length ? `Licence: ${one.licences.join(", ")}` : "Nothing learned, no licence.";
  };
  tellLicence();
  const faces = element("input", { type: "range", id: "faces", min: 0, max: 100, step: 1 });
  const toFaces = (at) => Math.round((200 * 1000 ** (at / 100)) / 100) * 100;
  const fromFaces = (count) => Math.round((100 * Math.log(count / 200)) / Math.log(1000));
  const counted = element("output", { for: "faces" });
  const sides = [...new Set([512, 1024, 2048, 4096, now("asset.texture_resolution")])].sort((a, b) => a - b);
  const texture = select(sides.map((side) => [side, `${side} pixels`]), now("asset.texture_resolution"));
  const seed = element("input", { type: "number", min: 0, max: 4294967295, step: 1, value: now("views.seed") });
  const delight = element("input", { type: "checkbox" });
  delight.checked = Boolean(now("asset.delight"));
  const tall = element("input", { type: "number", min: 0, step: "any", placeholder: "unknown" });
  tall.value = /^height=([\d.]+)cm$/.exec(now("asset.size") || "")?.[1] ?? "";
  let touched = new Set(Object.keys(wish.settings || {}));
  const show = () => {
    faces.value = fromFaces(now("surface.target_faces"));
    counted.textContent = now("surface.target_faces").toLocaleString("en");
  };
  show();
  const wished = () => {
    const settings = {};
    const set = (name, value) => { if (touched.has(name)) settings[name] = value; };
    set("views.generator", generator.value);
    set("surface.target_faces", faces.dataset.moved ? toFaces(Number(faces.value)) : now("surface.target_faces"));
    set("asset.texture_resolution", Number(texture.value));
    set("views.seed", Number(seed.value));
    set("asset.delight", delight.checked);
    set("asset.size", tall.value ? `height=${tall.value}cm` : null);
    for (const [name, value] of Object.entries(wish.settings || {})) settings[name] ??= value;
    for (const name of Object.keys(settings)) if (settings[name] === null) delete settings[name];
    return { preset: preset.value, settings };
  };
  const price = element("p", { class: "price soft", role: "status", text: "Change something to see what it costs." });
  const apply = asking("Make this version", () => make(photo, wished()), { class: "first", disabled: busy });
  let waiting = 0;
  const changed = (...names) => {
    for (const name of names) touched.add(name);
    counted.textContent = (faces.dataset.moved ? toFaces(Number(faces.value)) : now("surface.target_faces")).toLocaleString("en");
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      try {
        const told = await api.plan(photo.id, wished());
        price.textContent = told.runs.length === 0 ? "Nothing has to be made again."
          : `${told.runs.length} of ${told.stages.length} stages again (${told.runs.join(", ")}), about ${Math.ceil(told.seconds)} s.`;
      } catch (error) { price.textContent = error.message; }
    }, 400);
  };
  preset.onchange = () => { touched = new Set(); changed(); };
  generator.onchange = () => { tellLicence(); changed("views.generator"); };
  faces.oninput = () => { faces.dataset.moved = "1"; changed("surface.target_faces"); };
  texture.onchange = () => changed("asset.texture_resolution");
  seed.onchange = () => changed("views.seed");
  delight.onchange = () => changed("asset.delight");
  tall.onchange = () => changed("asset.size");
  return fold("Change", labelled("Preset", preset), labelled("Views by", generator), licence,
    labelled("Triangles", faces, counted), labelled("Texture", texture), labelled("Seed", seed),
    labelled("Take the light out", delight), labelled("Height in cm", tall), price,
    element("div", { class: "row" }, apply),
    busy ? element("p", { class: "soft", text: "When this version is done, another can be made." }) : null);
}

function take(photo, version) {
  const link = (name, text, first = false) => {
    const facts = version.files[name];
    return element("a", { class: first ? "button first" : "button", download: "", text: facts ? `${text} ${size(facts.size)}` : text,
      href: api.file(photo.id, version.number, name, true) });
  };
  const open = ["cutout.png", "views.png", "preview.png"].filter((name) => version.files[name]);
  const made = element("p", { class: "soft", text: "OBJ and what follows are made when first asked for." });
  const late = [["mesh_obj.zip", "OBJ"], ["mesh.usdz", "USDZ"], ["mesh.stl", "STL"], ["mesh.ply", "PLY"], ["turntable.webp", "Turntable"]]
    .map(([name, text]) => fetched(photo, version, name, text));
  return fold("Take", element("div", { class: "row" }, link("mesh.glb", "GLB", true), ...late, link("all.zip", "All as zip")), made,
    element("div", { class: "row thumbs" }, ...open.map((name) => element("a", {
      href: api.file(photo.id, version.number, name), target: "_blank", rel: "noopener", title: `Open ${name}` },
      element("img", { src: api.file(photo.id, version.number, name), alt: name, loading: "lazy" })))));
}

// A format that may take a while, or a program that is not installed: the answer is a file or a sentence.
function fetched(photo, version, name, text) {
  return asking(text, async () => {
    const response = await fetch(api.file(photo.id, version.number, name, true));
    if (!response.ok) throw new Error((await response.json()).error);
    const url = URL.createObjectURL(await response.blob());
    const stem = photo.name.replace(/\.[^.]*$/, "");
    element("a", { href: url, download: `${stem}_${name}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    toast(`${stem}_${name} is ready.`);
  });
}
