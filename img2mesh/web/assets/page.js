"use strict";
const SECOND = 1000;
const byId = (id) => document.getElementById(id);
const cards = new Map();  // id: { root, state, update }
let server = null;

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

function link(job, file, text) {
  const made = element("a", "", text);
  made.href = `jobs/${job.id}/files/${encodeURIComponent(file)}`;
  return made;
}

const size = (bytes) => (bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
const duration = (seconds) => (seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`);

function note(text) {
  byId("notes").append(element("li", "", text));
}

// What went wrong with a request, in the server's own sentence.
async function answer(request) {
  const response = await request;
  const body = await response.json();
  if (!response.ok) throw new Error(body.error);
  return body;
}

function waiting(job, root) {
  const line = element("p", "soft");
  root.append(line, cancelling(job, "Cancel"));
  return (now) => {
    const before = now.ahead === 1 ? "one photo comes" : `${now.ahead} photos come`;
    line.textContent = now.ahead ? `${before} first` : "next";
  };
}

function running(job, root) {
  const list = element("ul", "stages");
  const pills = server.stages.map((stage) => list.appendChild(element("li", "", stage)));
  const bar = element("progress");
  bar.max = 1;
  const line = element("p", "soft");
  root.append(list, bar, line, cancelling(job, "Cancel"));
  return (now) => {
    server.stages.forEach((stage, index) => {
      const took = now.seconds[stage];
      pills[index].className = stage === now.stage ? "now" : took === undefined ? "" : "past";
      pills[index].textContent = took === undefined ? stage : `${stage} ${took.toFixed(1)} s`;
    });
    bar.setAttribute("aria-label", now.stage || "starting");
    if (now.stage && now.fraction > 0) bar.value = now.fraction;
    else bar.removeAttribute("value");
    const left = now.seconds_left === null ? "" : `, about ${duration(now.seconds_left)} of this stage left`;
    line.textContent = now.stage ? `${now.stage}: ${Math.round(100 * now.fraction)} %${left}` : "loading libraries";
  };
}

function done(job, root) {
  root.append(element("p", "origin", `Views drawn by ${job.drawn_by}.`));
  if ("preview.png" in job.files) {
    const picture = element("img", "preview");
    picture.src = link(job, "preview.png").href;
    picture.alt = `${job.name} beside four views of its mesh`;
    root.append(picture);
  }
  const facts = [];
  if (job.report.faces) facts.push(`${job.report.faces.toLocaleString("en")} triangles`);
  if (job.report.watertight !== undefined) facts.push(job.report.watertight ? "watertight" : "not watertight");
  facts.push(`${job.report.seconds_this_run.toFixed(1)} s`);
  const reused = Object.values(job.report.cached || {}).filter(Boolean).length;
  if (reused) facts.push(`${reused} stages from the cache`);
  facts.push(`in ${job.folder}`);
  root.append(element("p", "soft", facts.join(" · ")));
  for (const warning of job.warnings) root.append(element("p", "odd", warning));
  root.append(downloads(job, root));
}

function downloads(job, root) {
  const row = element("div", "files");
  const stem = job.name.replace(/\.[^.]*$/, "");
  if ("report.html" in job.files) {
    const button = element("button", "", "Turn it in 3D");
    button.type = "button";
    button.onclick = () => {
      button.remove();
      const frame = element("iframe");
      frame.title = `Report of ${job.name}`;
      frame.src = link(job, "report.html").href;
      root.append(frame);
    };
    const page = link(job, "report.html", "Open the report");
    page.target = "_blank";
    page.rel = "noopener";
    row.append(button, page);
  }
  const names = Object.keys(job.files);
  names.sort((a, b) => (b === "mesh.glb") - (a === "mesh.glb"));
  for (const name of names) {
    const file = link(job, name, `${name} ${size(job.files[name])}`);
    file.download = `${stem}_${name}`;
    if (name === "mesh.glb") { file.className = "first"; row.prepend(file); } else row.append(file);
  }
  return row;
}

function failed(job, root) {
  root.append(element("p", "error", job.error));
}

function cancelling(job, text) {
  const button = element("button", "", text);
  button.type = "button";
  button.onclick = async () => {
    button.disabled = true;
    try { await answer(fetch(`jobs/${job.id}/cancel`, { method: "POST" })); }
    catch (error) { note(error.message); }
    look();
  };
  return button;
}

const SAID = { waiting: "waiting", running: "working", done: "done", failed: "failed", cancelled: "cancelled" };
const BUILD = { waiting, running, done, failed, cancelled: () => undefined };

// A card is built anew only when its photo's state changes: what is open or has the focus stays so.
function show(job) {
  let card = cards.get(job.id);
  if (!card) {
    card = { root: element("section", "item"), state: "" };
    cards.set(job.id, card);
    byId("cards").prepend(card.root);
  }
  if (card.state !== job.state) {
    const head = element("div", "head");
    const state = element("span", `state ${job.state}`, SAID[job.state]);
    state.setAttribute("role", "status");
    head.append(element("h2", "", job.name), state);
    card.root.replaceChildren(head);
    card.state = job.state;
    card.update = BUILD[job.state](job, card.root);
  }
  if (card.update) card.update(job);
}

function introduce() {
  byId("about").textContent =
    `Views are drawn by ${server.drawn_by}. Preset ${server.preset}; meshes go to ${server.output_dir}.`;
  byId("choose").accept = server.suffixes.join(",");
}

let looking = 0;
async function look() {
  clearTimeout(looking);
  try {
    const found = await answer(fetch("jobs"));
    if (!server) { server = found.server; introduce(); }
    for (const job of found.jobs) show(job);
    byId("gone").hidden = true;
  } catch {
    byId("gone").hidden = false;
  }
  clearTimeout(looking);
  looking = setTimeout(look, SECOND);
}

async function send(files) {
  byId("notes").replaceChildren();
  for (const file of files) {
    if (server && file.size > server.limit) {  // said here, before it has travelled
      note(`${file.name} is larger than the ${Math.round(server.limit / 2 ** 20)} MiB taken here: save it smaller, or use img2mesh run on it`);
      continue;
    }
    try {
      await answer(fetch(`jobs?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file }));
    } catch (error) {
      note(error instanceof TypeError ? `${file.name} could not be sent: does the server still run?` : error.message);
    }
    await look();
  }
}

const drop = byId("drop");
byId("choose").onchange = (event) => { send([...event.target.files]).then(() => { event.target.value = ""; }); };
for (const kind of ["dragenter", "dragover"])
  document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
for (const kind of ["dragleave", "drop"])
  document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.remove("over"); });
document.addEventListener("drop", (event) => { send([...event.dataTransfer.files]); });
look();
