// The page: what is drawn when something changed, who is listened to, and when to ask the server.
import { byId, percent, say, toast } from "./dom.js";
import { listen, send } from "./sending.js";
import * as stage from "./stage.js";
import * as panel from "./panel.js";
import * as strip from "./strip.js";
import { known, last, look, onChange, photos, selected } from "./state.js";

const SECOND = 1000;
const before = new Map();  // id: state, to tell what has changed

function introduce() {
  if (!known.server) return;
  const { generator, output_dir: folder } = known.server;
  byId("about").textContent = `What a photo does not show is guessed (${generator}). Meshes go to ${folder}.`;
  const suffixes = known.server.suffixes.join(",");
  if (byId("choose").accept !== suffixes) byId("choose").accept = suffixes;
}

function title() {
  const busy = [...photos.values()].find((photo) => last(photo).state === "running");
  document.title = busy ? `${percent(last(busy).fraction)} ${busy.name}`
    : selected() ? `${selected().name} · img2mesh` : "img2mesh";
}

function announce() {
  for (const photo of photos.values()) {
    const state = last(photo).state;
    if (before.has(photo.id) && before.get(photo.id) !== state && ["done", "failed", "asking"].includes(state))
      say(`${photo.name}: ${state === "asking" ? "is this the object?" : state}`);
    before.set(photo.id, state);
  }
}

onChange(() => {
  byId("gone").hidden = !known.gone;
  introduce();
  strip.draw();
  stage.draw();
  panel.draw();
  title();
  announce();
});

async function keepLooking() {
  try {
    if (await look()) toast("The server was restarted: what was not finished is gone from the list.", true);
  } catch (error) { toast(error.message, true); }
  setTimeout(keepLooking, SECOND);
}

for (const id of ["choose", "snap"])
  byId(id).onchange = (event) => {
    send([...event.target.files]);
    event.target.value = "";
  };
byId("help").onclick = () => byId("keys").showModal();

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
  // Where keys mean something of their own; after choosing files the focus is still on that field.
  if (event.key !== "Escape" && event.target.matches("select, textarea, input:not([type=file])")) return;
  if (event.key === "?") byId("keys").showModal();
  else if (event.key === "Escape") stage.escape();
  else if (/^[1-4]$/.test(event.key) && !stage.keyed(event.key)) return;
  else return;
  event.preventDefault();
});

listen();
keepLooking();
