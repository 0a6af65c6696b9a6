// The mesh to turn, in the page and in the report alike: it begins as the photo, from the photo's
// camera, and shows its colours, its shape, its wires, and what of it is known.
const FACES = [
  ["photo", "Photo"], ["colour", "Colour"], ["shape", "Shape"], ["wire", "Wire"],
  ["known", "Known / guessed"],
];
const CLAY = [0.3, 0.3, 0.29, 1];

function part(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (name === "text") made.textContent = value;
    else if (name.startsWith("on")) made[name] = value;
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function hasWebGL() {
  try { return Boolean(document.createElement("canvas").getContext("webgl2")); }
  catch { return false; }
}

// The camera as <model-viewer> has it: what it looks at lies on its axis, which need not lead
// through the middle of the object. In a square frame the angle is the photo's own.
function seenFrom(camera) {
  const target = camera.world_from_camera.slice(0, 3).map((row) => row[3] - row[2] * camera.distance);
  return {
    target: target.map((x) => `${x}m`).join(" "),
    orbit: `${camera.azimuth_deg}deg ${90 - camera.elevation_deg}deg ${camera.distance}m`,
    fov: `${camera.fov_deg}deg`,
  };
}

// host: an element, empty or with a <model-viewer>. given: src, name; and where known: camera (report.json's input_camera),
// photo (address of the whole picture), cutout (of the square that the camera saw), known (address
// of the hatched texture, or a function that returns one or a promise of it), failed (told of it).
// Returns the <model-viewer>, or null where there is no WebGL.
export function turnable(host, given) {
  host.classList.add("turnable");
  const still = given.cutout || given.poster || given.photo;
  if (!hasWebGL()) {
    host.replaceChildren(
      ...(still ? [part("img", { src: still, alt: given.name, class: "still" })] : []),
      part("p", { class: "hint", text: "This browser has no WebGL, so the mesh cannot be turned here: the file is beside." }));
    return null;
  }
  const viewer = host.querySelector("model-viewer") || part("model-viewer", {
    src: given.src, alt: `${given.name}: the mesh`, "camera-controls": "", "touch-action": "pan-y",
    "interaction-prompt": "none", "shadow-intensity": "0.6", "shadow-softness": "1",
    loading: "eager",
  });
  // Near enough that the wheel, which moves by shares of what is left, does not leap.
  const { distance = 0, fov_deg: angle = 30 } = given.camera || {};
  const limits = {
    "min-field-of-view": "1deg", "max-field-of-view": `${Math.min(2 * angle, 90)}deg`,
    "min-camera-orbit": "auto 0deg auto", "max-camera-orbit": `auto 180deg ${distance ? `${2 * distance}m` : "auto"}`,
    "interpolation-decay": "80", poster: still,
  };
  for (const [name, value] of Object.entries(limits)) if (value) viewer.setAttribute(name, value);
  const over = part("img", { class: "over", alt: "", src: given.cutout || "", hidden: "" });
  const whole = part("img", { class: "whole", alt: `${given.name}: the photo`, src: given.photo || "", hidden: "" });
  const frame = part("div", { class: "frame" }, viewer, over, whole);
  const trouble = part("p", { class: "hint", role: "status" });
  const coarse = matchMedia("(pointer: coarse)").matches;
  const hint = part("p", { class: "hint", text: coarse
    ? "Drag to turn, two fingers to zoom and move." : "Drag to turn; Ctrl and wheel to zoom, or click it first." });

  const home = () => {
    if (given.camera) {
      const { target, orbit, fov } = seenFrom(given.camera);
      Object.assign(viewer, { cameraTarget: target, cameraOrbit: orbit, fieldOfView: fov });
    } else {
      Object.assign(viewer, { cameraTarget: "auto auto auto", cameraOrbit: "25deg 75deg auto", fieldOfView: "auto" });
    }
    viewer.autoRotate = false;
    viewer.resetTurntableRotation?.(0);
    viewer.jumpCameraToGoal?.();
  };
  home();

  let painted = null;  // the texture and colour that the file came with
  const scene = () => viewer[Object.getOwnPropertySymbols(viewer).find((s) => s.description === "scene")];
  const wires = (on) => {
    scene()?.traverse?.((one) => {
      for (const material of [one.material].flat()) if (material && "wireframe" in material) material.wireframe = on;
    });
    scene()?.queueRender?.();
  };
  const faces = {
    async colour(pbr) { pbr.baseColorTexture.setTexture(painted.texture); pbr.setBaseColorFactor(painted.factor); },
    async shape(pbr) { pbr.baseColorTexture.setTexture(null); pbr.setBaseColorFactor(CLAY); },
    async wire(pbr) { await faces.shape(pbr); wires(true); },
    async known(pbr) {
      const address = typeof given.known === "function" ? await given.known() : given.known;
      const texture = await viewer.createTexture(address);
      // glTF's way up: the picture's first row is v = 0.
      pbr.baseColorTexture.setTexture(texture);
      pbr.setBaseColorFactor(painted.factor);
    },
  };
  const show = async (face) => {
    trouble.textContent = "";
    whole.hidden = face !== "photo";
    for (const one of buttons) one.setAttribute("aria-pressed", String(one.dataset.face === face));
    if (face === "photo") return;
    const pbr = viewer.model?.materials[0]?.pbrMetallicRoughness;
    if (!pbr) return;
    painted ??= { texture: pbr.baseColorTexture.texture, factor: [...pbr.baseColorFactor] };
    wires(false);
    try { await faces[face](pbr); }
    catch (error) {
      trouble.textContent = `This cannot be shown: ${error.message || error}`;
      await faces.colour(pbr);
    }
    key.hidden = face !== "known";
  };
  const possible = { photo: given.photo, known: given.known };
  const buttons = FACES.filter(([face]) => !(face in possible) || possible[face]).map(([face, text]) =>
    part("button", { type: "button", text, "data-face": face, "aria-pressed": String(face === "colour"), onclick: () => show(face) }));
  const key = part("p", { class: "hint key", hidden: "" },
    part("span", { text: "as it is: from the photo" }),
    part("span", { class: "guessed", text: "orange stripes: guessed" }),
    part("span", { class: "filled", text: "violet stripes: seen by nothing, filled" }));

  const turn = part("button", { type: "button", text: "Turn", "aria-pressed": "false", onclick: () => {
    viewer.autoRotate = !viewer.autoRotate;
    turn.setAttribute("aria-pressed", String(viewer.autoRotate));
    wipeTo(0);
  } });
  const back = part("button", { type: "button", text: given.camera ? "As the photo" : "As at first", onclick: () => {
    home();
    turn.setAttribute("aria-pressed", "false");
  } });
  const moves = part("div", { class: "tools" }, turn, back);
  const tools = part("div", { class: "controls" },
    part("div", { class: "tools", role: "group", "aria-label": "What is shown" }, ...buttons), moves);
  if (document.fullscreenEnabled)
    moves.append(part("button", { type: "button", text: "Full screen", onclick: () => {
      if (document.fullscreenElement) document.exitFullscreen();
      else host.requestFullscreen();
    } }));

  const wipe = part("input", { type: "range", min: "0", max: "100", value: "0", "aria-label": "Wipe the photo over the mesh" });
  const wipeTo = (share) => {
    wipe.value = share;
    over.hidden = share <= 0;
    over.style.clipPath = `inset(0 ${100 - share}% 0 0)`;
  };
  if (given.camera && given.cutout) {
    wipe.oninput = () => { home(); wipeTo(Number(wipe.value)); };
    moves.append(part("label", { class: "wipe" }, part("span", { text: "Photo over mesh" }), wipe));
  }
  viewer.addEventListener("camera-change", (event) => {
    if (event.detail.source === "user-interaction") wipeTo(0);
  });
  // The page scrolls on over the mesh, unless Ctrl is held or it was clicked since the pointer came.
  let clicked = false;
  frame.addEventListener("pointerdown", () => { clicked = true; });
  frame.addEventListener("pointerleave", () => { clicked = false; });
  frame.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !clicked) event.stopPropagation();
  }, { capture: true });
  viewer.addEventListener("load", () => { viewer.jumpCameraToGoal(); host.dataset.loaded = "true"; });
  viewer.addEventListener("error", () => {
    trouble.textContent = "The mesh cannot be shown here; the file is beside.";
    given.failed?.();
  });
  host.replaceChildren(frame, tools, key, trouble, hint);
  return viewer;
}

// Two that look from the same side and show the same of each.
export function together(one, other) {
  let leading = false;
  const hosts = [one, other].map((viewer) => viewer.closest(".turnable"));
  for (const [from, to] of [hosts, hosts.toReversed()])
    from.addEventListener("click", (event) => {
      const face = event.isTrusted && event.target.dataset?.face;
      if (face) to.querySelector(`[data-face=${face}]`)?.click();
    });
  for (const [from, to] of [[one, other], [other, one]])
    from.addEventListener("camera-change", (event) => {
      if (leading || event.detail.source !== "user-interaction") return;
      leading = true;
      const orbit = from.getCameraOrbit();
      to.cameraOrbit = `${orbit.theta}rad ${orbit.phi}rad ${orbit.radius}m`;
      to.fieldOfView = `${from.getFieldOfView()}deg`;
      to.jumpCameraToGoal();
      leading = false;
    });
}
