// How photos come in: dropped, pasted, chosen, as folders, from a camera or from the examples.
import * as api from "./api.js";
import { byId, toast } from "./dom.js";
import { changed, known, look, photos, select } from "./state.js";

const isPhoto = (name) =>
  !known.server || known.server.suffixes.some((suffix) => name.toLowerCase().endsWith(suffix));

// One after another; each is shown from the first moment, from the file itself.
let sending = Promise.resolve();
export function send(files, group = "") {
  const waiting = files.map((photo) => {
    const id = `local-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
    const stop = new AbortController();
    photos.set(id, {
      id, name: photo.name, group, state: "sending", sending: true, fraction: 0, stop,
      url: URL.createObjectURL(photo), versions: [{ number: 1, state: "sending" }],
      outline: null,
    });
    return { id, photo, stop };
  });
  const before = known.selected;
  if (waiting.length) {
    select(waiting.at(-1).id);
    byId("stage").scrollIntoView({ block: "nearest" });
  }
  for (const one of waiting) sending = sending.then(() => sendOne(one, group, before));
  return sending;
}

async function sendOne({ id, photo, stop }, group, before) {
  const card = photos.get(id);
  const limit = known.server?.limit;
  try {
    if (stop.signal.aborted) throw Object.assign(new Error("cancelled"), { cancelled: true });
    if (limit && photo.size > limit)  // said here, before it has travelled
      throw new Error(`${photo.name} is larger than the ${Math.round(limit / 2 ** 20)} MiB taken here: save it smaller`);
    const job = await api.upload(photo, {
      group, signal: stop.signal,
      told: (fraction) => { card.fraction = fraction; changed(); },
    });
    replace(id, { ...job, url: card.url });
    await look();
  } catch (error) {
    photos.delete(id);
    URL.revokeObjectURL(card.url);
    if (!error.cancelled) toast(error.message, true);
    if (known.selected === id) known.selected = photos.has(before) ? before : [...photos.keys()].at(-1) ?? null;
    changed();
  }
}

function replace(id, job) {
  photos.delete(id);
  photos.set(job.id, job);
  if (known.selected === id) known.selected = job.id;
  changed();
}

// Everything in a drop or a paste that is a file; folders with all that is in them.
async function filesOf(transfer) {
  const entries = [...(transfer.items || [])].map((item) => item.webkitGetAsEntry?.() || null);
  const plain = [...transfer.files];
  const found = [];
  for (const entry of entries.filter((one) => one?.isDirectory))
    found.push({ group: entry.name, files: (await walk(entry)).filter((file) => isPhoto(file.name)) });
  const folders = new Set(entries.filter((one) => one?.isDirectory).map((one) => one.name));
  found.push({ group: "", files: plain.filter((file) => !folders.has(file.name)) });
  return found;
}

async function walk(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const entry of some) {
      if (entry.isDirectory) found.push(...await walk(entry));
      else found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    }
  }
}

async function take(transfer) {
  const groups = (await filesOf(transfer)).filter((one) => one.files.length);
  if (!groups.length) {
    toast("That holds no picture file: save the picture first, then drop the file here.", true);
    return;
  }
  for (const one of groups) send(one.files, one.group);
}

export async function sendExample(name) {
  const response = await fetch(api.example(name));
  await send([new File([await response.blob()], name)]);
}

export function listen() {
  let depth = 0;
  const over = (inside) => document.body.classList.toggle("over", inside);
  document.addEventListener("dragenter", (event) => { event.preventDefault(); depth += 1; over(true); });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("dragleave", () => { depth -= 1; over(depth > 0); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    over(false);
    take(event.dataTransfer);
  });
  document.addEventListener("paste", (event) => {
    const kind = event.target.tagName;
    if (kind === "INPUT" || kind === "TEXTAREA") return;
    const pasted = [...event.clipboardData.files].map((file) => (
      isPhoto(file.name) ? file : new File([file], "pasted.png", { type: file.type })));
    if (pasted.length) send(pasted);
    else toast("What was pasted is no picture.", true);
  });
}
