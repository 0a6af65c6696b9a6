// Saying what the object is: a box, or a brush that adds and takes away. Mouse, finger or keys.
import { button, element, uniqueId } from "./dom.js";
import { fitted, pictureOf } from "./outline.js";

const DIM = "rgba(10, 12, 20, 0.62)";

// host: where it stands; photo: its card; send({box} or blob) returns a promise; leave().
export function editor(host, photo, mode, { send, leave, failed }) {
  const image = element("img", { src: pictureOf(photo), alt: `${photo.name}, to draw on`, draggable: "false" });
  const canvas = element("canvas", {
    tabindex: "0", role: "application", "aria-describedby": "how",
    "aria-label": mode === "box" ? "Draw a box around the object" : "Paint what belongs to the object",
  });
  const frame = element("div", { class: "pictured editing" }, image, canvas);
  fitted(image, frame);
  const tools = element("div", { class: "row tools" });
  const how = element("p", { class: "soft", id: "how" });
  host.replaceChildren(frame, how, tools);
  const go = async (said, pressed) => {
    pressed.disabled = true;
    try { await send(said); }
    catch (error) { failed(error); }
    finally { pressed.disabled = false; }
  };
  const start = () => {
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    (mode === "box" ? boxing : brushing)({ canvas, tools, how, photo, go, leave });
    canvas.focus({ preventScroll: true });
  };
  // Not before it stands on the page: nothing else can take the focus.
  if (image.complete && image.naturalWidth) requestAnimationFrame(start);
  else image.addEventListener("load", start);
}

const place = (canvas, event) => {
  const seen = canvas.getBoundingClientRect();
  return [
    Math.min(Math.max((event.clientX - seen.left) / seen.width, 0), 1) * canvas.width,
    Math.min(Math.max((event.clientY - seen.top) / seen.height, 0), 1) * canvas.height,
  ];
};

function dragging(canvas, { begin, move, end }) {
  let down = false;
  canvas.onpointerdown = (event) => {
    down = true;
    canvas.setPointerCapture(event.pointerId);
    begin(place(canvas, event));
    event.preventDefault();
    canvas.focus({ preventScroll: true });
  };
  canvas.onpointermove = (event) => { if (down) move(place(canvas, event)); };
  canvas.onpointerup = canvas.onpointercancel = () => { if (down) { down = false; end(); } };
}

function boxing({ canvas, tools, how, photo, go, leave }) {
  const context = canvas.getContext("2d");
  const box = { x: 0.1, y: 0.1, w: 0.8, h: 0.8 };
  const fields = ["x", "y", "w", "h"].map((key, index) => {
    const id = uniqueId();
    const field = element("input", { type: "number", min: 0, max: 100, step: 1, id });
    field.oninput = () => { box[key] = Math.min(Math.max(Number(field.value) / 100, 0), 1); draw(); };
    return { key, field, label: element("label", { for: id, text: ["left", "top", "width", "height"][index] }) };
  });
  const draw = () => {
    const { width, height } = canvas;
    context.clearRect(0, 0, width, height);
    context.fillStyle = DIM;
    context.fillRect(0, 0, width, height);
    const inside = [box.x * width, box.y * height, box.w * width, box.h * height];
    context.clearRect(...inside);
    context.lineWidth = Math.max(width / 300, 2);
    context.strokeStyle = "#fff";
    context.strokeRect(...inside);
  };
  const write = () => { for (const { key, field } of fields) field.value = Math.round(100 * box[key]); };
  let from = null;
  dragging(canvas, {
    begin: (at) => { from = at; },
    move: ([x, y]) => {
      const { width, height } = canvas;
      Object.assign(box, {
        x: Math.min(x, from[0]) / width, y: Math.min(y, from[1]) / height,
        w: Math.abs(x - from[0]) / width, h: Math.abs(y - from[1]) / height,
      });
      draw();
      write();
    },
    end: () => {},
  });
  how.textContent = "Drag a box around the whole object, or write it in per cent of the picture.";
  const take = button("Take this box", () => {
    const { width, height } = photo.outline;
    const [x, y] = [Math.min(box.x, 0.99), Math.min(box.y, 0.99)];
    const [w, h] = [Math.min(box.w, 1 - x), Math.min(box.h, 1 - y)];
    go({ box: [x * width, y * height, w * width, h * height].map(Math.floor) }, take);
  }, { class: "first" });
  tools.append(
    ...fields.map(({ label, field }) => element("span", { class: "field" }, label, field)),
    take, button("Leave", leave));
  write();
  draw();
}

function brushing({ canvas, tools, how, photo, go, leave }) {
  const context = canvas.getContext("2d");
  const mask = element("canvas", { width: canvas.width, height: canvas.height });
  const inside = mask.getContext("2d", { willReadFrequently: true });
  const trail = [];  // what undo goes back to
  const brush = { adding: true, radius: canvas.width / 30, at: [canvas.width / 2, canvas.height / 2] };
  inside.fillStyle = inside.strokeStyle = "#fff";
  inside.lineCap = inside.lineJoin = "round";
  inside.beginPath();
  for (const polygon of photo.outline?.polygons || []) {
    polygon.forEach(([x, y], index) =>
      inside[index ? "lineTo" : "moveTo"](x * mask.width, y * mask.height));
    inside.closePath();
  }
  inside.fill("evenodd");

  const draw = () => {
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = DIM;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.globalCompositeOperation = "destination-out";
    context.drawImage(mask, 0, 0);
    context.globalCompositeOperation = "source-over";
    context.lineWidth = Math.max(canvas.width / 400, 2);
    context.strokeStyle = brush.adding ? "#7fe0bd" : "#ff9d8f";
    context.beginPath();
    context.arc(...brush.at, brush.radius, 0, 7);
    context.stroke();
  };
  const keep = () => {
    trail.push(inside.getImageData(0, 0, mask.width, mask.height));
    if (trail.length > 12) trail.shift();
    back.disabled = false;
  };
  const paint = (from, to) => {
    inside.globalCompositeOperation = brush.adding ? "source-over" : "destination-out";
    inside.lineWidth = 2 * brush.radius;
    inside.beginPath();
    inside.moveTo(...from);
    inside.lineTo(to[0] + 0.01, to[1]);
    inside.stroke();
    brush.at = to;
    draw();
  };
  dragging(canvas, {
    begin: (at) => { keep(); paint(at, at); },
    move: (at) => paint(brush.at, at),
    end: () => {},
  });
  const hover = (event) => { if (!event.buttons) { brush.at = place(canvas, event); draw(); } };
  canvas.addEventListener("pointermove", hover);
  canvas.onkeydown = (event) => {
    const step = canvas.width / 50;
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (move) {
      brush.at = [
        Math.min(Math.max(brush.at[0] + move[0], 0), canvas.width),
        Math.min(Math.max(brush.at[1] + move[1], 0), canvas.height),
      ];
      draw();
    } else if (event.key === " ") { keep(); paint(brush.at, brush.at); }
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  how.textContent = "Paint what belongs to the object; switch to take away what does not.";
  const ways = [["Add", true], ["Take away", false]].map(([text, adding]) => button(text, () => {
    brush.adding = adding;
    for (const way of ways) way.setAttribute("aria-pressed", String(way.textContent === text));
    draw();
  }, { "aria-pressed": String(adding) }));
  const id = uniqueId();
  const width = element("input", { type: "range", id, min: 5, max: 100, value: 33 });
  width.oninput = () => { brush.radius = (canvas.width * Number(width.value)) / 1000; draw(); };
  const back = button("Undo", () => {
    inside.putImageData(trail.pop(), 0, 0);
    back.disabled = trail.length === 0;
    draw();
  }, { disabled: true });
  const clear = button("Empty", () => { keep(); inside.clearRect(0, 0, mask.width, mask.height); draw(); });
  const take = button("Take this", async () => {
    const sent = element("canvas", { width: mask.width, height: mask.height });
    const flat = sent.getContext("2d");
    flat.fillRect(0, 0, sent.width, sent.height);
    flat.drawImage(mask, 0, 0);
    go(await new Promise((resolve) => sent.toBlob(resolve, "image/png")), take);
  }, { class: "first" });
  tools.append(
    element("span", { role: "group", "aria-label": "The brush", class: "row" }, ...ways),
    element("span", { class: "field" }, element("label", { for: id, text: "width" }), width),
    back, clear, take, button("Leave", leave));
  draw();
}
