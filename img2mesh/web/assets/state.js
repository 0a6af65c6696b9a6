// What is known: the server, its photos, those on their way to it, and which one is looked at.
import * as api from "./api.js";

export const known = { server: null, life: null, revision: 0, selected: null, gone: false };
export const photos = new Map();  // id: the server's card, or one of ours while it is sent
const listeners = [];

export const onChange = (listener) => listeners.push(listener);
export const changed = () => { for (const listener of listeners) listener(); };

export const selected = () => photos.get(known.selected) || null;
export const last = (photo) => photo.versions.at(-1);
export const done = (photo) => photo.versions.filter((version) => version.state === "done");
export const newestFirst = () => [...photos.values()].reverse();

export function select(id) {
  known.selected = id;
  changed();
}

// Something its owner should see before using the mesh.
export function needsLook(photo) {
  if (["asking", "failed"].includes(photo.state)) return true;
  const version = done(photo).at(-1);
  if (["amber", "red"].includes(version?.report.verdict?.light)) return true;
  return Boolean(version?.notes.some((note) => !note.usual && note.remedy));
}

// Ask what has changed; after a restart forget what the server does not know any more.
export async function look() {
  let found;
  try { found = await api.jobs(known.revision); }
  catch (error) {
    if (!error.gone) throw error;
    if (!known.gone) { known.gone = true; changed(); }
    return false;
  }
  const back = known.gone;
  known.gone = false;
  const first = known.life === null;
  const restarted = !first && known.life !== found.life;
  if (restarted || first) {
    known.server = await api.server();
    known.life = found.life;
    if (restarted && known.revision) found = await api.jobs(0);
    for (const [id, photo] of photos) if (!photo.sending) photos.delete(id);
  }
  for (const job of found.jobs) photos.set(job.id, job);
  for (const id of found.removed) photos.delete(id);
  known.revision = found.revision;
  if (!photos.has(known.selected)) known.selected = newestFirst()[0]?.id ?? null;
  if (found.jobs.length || found.removed.length || first || restarted || back) changed();
  return restarted;
}
