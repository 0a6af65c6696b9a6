// The photo with the cutout's outline on it: what is left out is dimmed.
import * as api from "./api.js";
import { element } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const path = (polygon) => `M${polygon.map((point) => point.join(" ")).join("L")}Z`;

function drawn(d, name) {
  const made = document.createElementNS(SVG, "path");
  made.setAttribute("d", d);
  made.setAttribute("class", name);
  return made;
}

// The picture's address: the server's own once it has it, before that the file itself.
export const pictureOf = (photo) => (photo.photo ? api.photo(photo.id) : photo.url || null);

// As large as there is room for, small pictures too.
export function fitted(image, frame) {
  const fit = () => frame.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
  if (image.complete && image.naturalWidth) fit();
  else image.addEventListener("load", fit);
}

export function pictured(photo) {
  const url = pictureOf(photo);
  if (!url) return element("p", { class: "soft", text: "The photo itself is no longer here." });
  const image = element("img", { src: url, alt: `${photo.name}, as it came`, draggable: "false" });
  const frame = element("div", { class: "pictured" }, image);
  fitted(image, frame);
  // A browser that cannot show the file sees it once the server has made a picture of it.
  image.onerror = () => { image.alt = `${photo.name}: no preview yet`; };
  const shapes = photo.outline?.polygons || [];
  if (shapes.length) {
    const all = shapes.map(path).join("");
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 1 1");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.append(drawn(`M0 0H1V1H0Z${all}`, "outside"), drawn(all, "line under"), drawn(all, "line"));
    frame.append(svg);
  }
  return frame;
}
