// The middle: one photo, shown as what it is at: on its way, cut, asked about, being made, or done.
import * as api from "./api.js";
import { asking, button, byId, duration, element, percent, say, toast } from "./dom.js";
import { editor } from "./editor.js";
import { pictured, pictureOf } from "./outline.js";
import { sendExample } from "./sending.js";
import { changed, done, known, last, look, selected } from "./state.js";

const stage = byId("stage");
export const view = { editing: null, version: null, compare: false };
let shown = "";  // what is built; built anew only when that is another thing
let update = null;
const SOFAR = { surface: "Its shape so far", views: "Its sides as they were drawn" };  // the latest first

export function edit(mode) {
  view.editing = mode;
  changed();
  byId("stage").scrollIntoView({ block: "nearest" });
}

export function choose(number, compare = false) {
  view.version = number;
  view.compare = compare;
  changed();
}

// The version that is looked at: the one chosen, else the newest that is done.
export function looked(photo) {
  const finished = done(photo);
  return finished.find((one) => one.number === view.version) || finished.at(-1) || null;
}

export function draw() {
  const photo = selected();
  if (shown.split("|")[0] !== (photo?.id ?? "")) Object.assign(view, { editing: null, version: null, compare: false });
  if (!photo) return build("", empty);
  const state = photo.versions.length > 1 && ["running", "waiting", "cutting"].includes(last(photo).state)
    ? last(photo).state : photo.state;
  if (state !== "asking" && !done(photo).length && view.editing && state !== "failed") view.editing = null;
  const found = photo.outline;
  const outline = found ? [found.confidence, found.refused, JSON.stringify(found.polygons).length].join() : "";
  const version = looked(photo);
  const key = [photo.id, state, view.editing, version?.number, view.compare, outline, photo.photo].join("|");
  if (view.editing) build(key, () => editing(photo));
  else if (version && state !== "asking") build(key, () => finished(photo, version, state));
  else build(key, () => FACES[state](photo));
  update?.(photo);
}

function build(key, make) {
  if (key === shown && stage.childElementCount) return;
  const before = shown.split("|");
  shown = key;
  update = null;
  const inside = stage.contains(document.activeElement);
  const made = make();
  if (made) stage.replaceChildren(...made);
  if (inside && before[0] === key.split("|")[0]) stage.focus({ preventScroll: true });
}

const heading = (photo) => element("h2", { text: photo.name });

function empty() {
  update = null;
  const examples = known.server?.examples || [];
  return [element("div", { class: "drop" },
    element("h2", { text: "Drop photos here" }),
    element("p", { class: "soft", text: "or a folder, or paste a picture. Best is one object that can be seen whole; you will see what was taken for it." }),
    element("label", { class: "button", for: "choose", text: "Choose photos" }),
    examples.length ? element("div", { class: "row examples", role: "group", "aria-label": "Examples" },
      element("span", { class: "soft", text: "Or try one:" }),
      ...examples.map((name) => {
        const one = asking("", () => sendExample(name), { class: "example", "aria-label": `Try ${name}` });
        one.append(element("img", { src: api.example(name), alt: "", loading: "lazy" }));
        return one;
      })) : null)];
}

function progressed(label) {
  const bar = element("progress", { max: "1", "aria-label": label });
  const line = element("p", { class: "soft left" });
  return { bar, line };
}

const FACES = {
  sending(photo) {
    const { bar, line } = progressed("Sending");
    update = (now) => {
      bar.value = now.fraction ?? 0;
      line.textContent = `Sending: ${percent(now.fraction ?? 0)}`;
    };
    return [heading(photo), pictured(photo), bar, line,
      button("Cancel", () => { photo.stop.abort(); })];
  },
  cutting(photo) {
    const { bar, line } = progressed("Looking for the object");
    line.textContent = "Looking for the object";
    return [heading(photo), pictured(photo), bar, line, cancelling(photo)];
  },
  waiting(photo) {
    const line = element("p", { class: "soft" });
    update = (now) => {
      const ahead = last(now).ahead ?? 0;
      line.textContent = ahead === 0 ? "Next" : `${ahead === 1 ? "One photo comes" : `${ahead} photos come`} first`;
    };
    return [heading(photo), pictured(photo), line,
      element("div", { class: "row" }, cancelling(photo), correcting(photo))];
  },
  running(photo) {
    const [sofar, ...rest] = making(photo);
    return [heading(photo), element("div", { class: "duo" }, pictured(photo), sofar), ...rest];
  },
  asking(photo) {
    const refused = photo.outline.refused;
    const question = refused ? "Where is the object?"
      : photo.versions.length > 1 || "box" in last(photo).wish ? "Is this the object now?" : "Is this the object?";
    say(question);
    const box = button("Draw a box", () => edit("box"), { "data-key": "2" });
    return [heading(photo), pictured(photo),
      element("div", { class: "ask" },
        element("h3", { text: question }),
        refused ? element("p", { text: "Nothing could be told from the background for sure." }) : null,
        element("div", { class: "row" },
          refused ? null : asking("Yes", () => after(api.cut(photo.id, { accept: true })), { class: "first", "data-key": "1" }),
          box, button("Brush + / −", () => edit("brush"), { "data-key": "3" }),
          asking("Use the whole picture", () => after(api.cut(photo.id, { whole: true })), { "data-key": "4" }),
          cancelling(photo)))];
  },
  failed(photo) {
    const refused = photo.outline?.refused;
    return [heading(photo), pictured(photo),
      element("p", { class: "error", text: last(photo).error }),
      element("div", { class: "row" },
        photo.here && refused ? button("Draw a box", () => edit("box")) : null,
        photo.here && refused ? button("Brush + / −", () => edit("brush")) : null,
        photo.here ? asking("Try again", () => after(api.retry(photo.id))) : null,
        removing(photo))];
  },
  cancelled(photo) {
    return [heading(photo), pictured(photo), element("p", { class: "soft", text: "Cancelled." }),
      element("div", { class: "row" },
        photo.here ? asking("Make it after all", () => after(api.retry(photo.id))) : null, removing(photo))];
  },
};

async function after(promise) {
  await promise;
  await look();
}

const cancelling = (photo) => asking("Cancel", () => after(api.cancel(photo.id)), { "data-cancel": "" });
const correcting = (photo) => (photo.here ? button("Correct the cutout", async () => {
  await api.cancel(photo.id).catch(() => {});
  await look();
  edit("brush");
}) : null);
export const removing = (photo) => asking("Remove", async () => {
  await after(api.remove(photo.id));
  toast(`${photo.name} is off the list; its folder stays.`);
});

function making(photo) {
  const { bar, line } = progressed("Making the mesh");
  const list = element("ol", { class: "stages" });
  const image = element("img", { alt: "" });
  const caption = element("figcaption", { class: "soft" });
  const sofar = element("figure", { class: "sofar", hidden: true }, image, caption);
  image.onload = () => {
    image.alt = caption.textContent = SOFAR[sofar.dataset.stage];
    sofar.hidden = false;
  };
  image.onerror = () => { sofar.hidden = true; };
  const place = (stage) => known.server.stages.indexOf(stage);
  const pills = known.server.stages.map((name) => list.appendChild(element("li", { text: name })));
  update = (now) => {
    const version = last(now);
    if (version.state !== "running") return;
    // What the generator drew is there to see long before the mesh is, and then its bare shape.
    const there = Object.keys(SOFAR).find((stage) => place(version.stage) > place(stage));
    if (there && sofar.dataset.stage !== there) {
      sofar.dataset.stage = there;
      image.src = api.sofar(photo.id, there, version.number);
    }
    if (version.stage) bar.value = version.fraction;
    else bar.removeAttribute("value");
    line.textContent = version.stage
      ? `${percent(version.fraction)}, about ${duration(version.seconds_left)} left` : "Loading libraries";
    known.server.stages.forEach((name, index) => {
      const took = version.seconds[name];
      pills[index].className = name === version.stage ? "now" : took === undefined ? "" : "past";
      pills[index].textContent = took === undefined ? name : `${name} ${took.toFixed(1)} s`;
    });
  };
  return [sofar, bar, line, cancelling(photo), element("details", {}, element("summary", { text: "Stages" }), list)];
}

function editing(photo) {
  const holder = element("div", { class: "holder" });
  const leave = () => edit(null);
  editor(holder, photo, view.editing, {
    leave,
    send: async (said) => {
      await (said instanceof Blob ? api.draw(photo.id, said) : api.cut(photo.id, said));
      view.editing = view.version = null;
      await look();
      changed();
    },
    failed: (error) => toast(error.message, true),
  });
  const other = view.editing === "box" ? ["Brush instead", "brush"] : ["Box instead", "box"];
  return [heading(photo), holder, element("div", { class: "row" }, button(other[0], () => edit(other[1])))];
}

function finished(photo, version, state) {
  const parts = [];
  const finishedOnes = done(photo);
  const head = element("div", { class: "row head" }, heading(photo));
  if (finishedOnes.length > 1) {
    head.append(element("span", { role: "group", "aria-label": "Versions", class: "row" },
      ...finishedOnes.map((one) => button(`v${one.number}`, () => choose(one.number, view.compare),
        { "aria-pressed": String(one.number === version.number) })),
      button("Compare", () => choose(version.number, !view.compare), { "aria-pressed": String(view.compare) })));
  }
  parts.push(head);
  const other = view.compare ? finishedOnes.filter((one) => one.number !== version.number).at(-1) : null;
  const hosts = [other, version].filter(Boolean).map((one) => [one, element("figure", {})]);
  const pair = element("div", { class: other ? "pair" : "" }, ...hosts.map(([, host]) => host));
  parts.push(pair);
  if (["running", "waiting", "cutting"].includes(state)) {
    const [sofar, bar, line, ...more] = making(photo);
    const told = update;
    update = (now) => {
      if (last(now).state === "running") told(now);
      else line.textContent = last(now).state === "waiting" ? "The next version waits" : "Looking for the object";
    };
    parts.push(element("div", { class: "beneath" },
      element("p", { text: `Version ${last(photo).number} is being made` }), bar, line, ...more, sofar));
  } else if (["failed", "cancelled"].includes(last(photo).state)) {
    const said = last(photo).state === "failed" ? last(photo).error : "was cancelled";
    parts.push(element("div", { class: "beneath error" },
      element("p", { text: `Version ${last(photo).number}: ${said}` }),
      photo.here ? asking("Try again", () => after(api.retry(photo.id))) : null));
  }
  show(photo, hosts);
  return parts;
}

// The viewer is a megabyte: fetched when there is something to turn, not before.
async function show(photo, hosts) {
  for (const [, host] of hosts) host.append(pictured(photo));
  let turning;
  try {
    turning = await import("./viewer.js");
    if (!customElements.get("model-viewer")) await import("./model-viewer.min.js");
  } catch {
    toast("The viewer could not be loaded: does the server still run?", true);
    return;
  }
  const made = [];
  for (const [version, host] of hosts) {
    if (!version.files["mesh.glb"]) continue;
    const address = (name) => api.file(photo.id, version.number, name);
    let report = {};
    try { report = await (await fetch(address("report.json"))).json(); }
    catch { /* without it the mesh is shown from where it looks best */ }
    if (!host.isConnected) return;
    const { sha256: sum, size } = version.files["mesh.glb"];
    const viewer = turning.turnable(host, {
      src: `${address("mesh.glb")}?${(sum || String(size)).slice(0, 12)}`,
      name: hosts.length > 1 ? `${photo.name}, version ${version.number}` : photo.name,
      camera: report.input_camera || null,
      cutout: version.files["cutout.png"] ? address("cutout.png") : null,
      photo: pictureOf(photo),
      known: photo.here ? () => knownTexture(address("known.png")) : null,
    });
    if (hosts.length > 1) host.prepend(element("figcaption", { text: told(version) }));
    made.push(viewer);
  }
  if (made.length === 2 && made.every(Boolean)) turning.together(...made);
}

const told = (version) => {
  const { faces } = version.report;
  return `v${version.number}${faces ? `, ${faces.toLocaleString("en")} triangles` : ""}`;
};

async function knownTexture(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error((await response.json()).error);
  return address;
}

export function keyed(key) {
  const found = stage.querySelector(`[data-key="${key}"]`);
  if (found) found.click();
  return Boolean(found);
}

export function escape() {
  if (view.editing) edit(null);
  else stage.querySelector("[data-cancel]")?.click();
}

