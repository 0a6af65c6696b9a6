// Everything that is asked of the server. An error's message is the server's own sentence.
const BASE = "api/v1";
const GONE = "The server does not answer: does it still run?";

async function answer(path, options) {
  let response;
  try { response = await fetch(`${BASE}${path}`, options); }
  catch { throw Object.assign(new Error(GONE), { gone: true }); }
  const kind = response.headers.get("content-type") || "";
  const body = kind.startsWith("application/json") ? await response.json() : null;
  if (!response.ok) throw new Error(body?.error || `the server said ${response.status}`);
  return body;
}

const json = (method, body) => ({
  method, body: JSON.stringify(body), headers: { "content-type": "application/json" },
});

export const server = () => answer("/server");
export const jobs = (since) => answer(`/jobs?since=${since}`);
export const cancel = (id) => answer(`/jobs/${id}/cancel`, { method: "POST" });
export const retry = (id) => answer(`/jobs/${id}/retry`, { method: "POST" });
export const remove = (id) => answer(`/jobs/${id}`, { method: "DELETE" });
export const cut = (id, said) => answer(`/jobs/${id}/mask`, json("PUT", said));
export const again = (id, wish) => answer(`/jobs/${id}/versions`, json("POST", wish));
export const draw = (id, blob) =>
  answer(`/jobs/${id}/mask`, { method: "PUT", body: blob, headers: { "content-type": "image/png" } });

export function plan(id, wish) {
  const given = new URLSearchParams();
  if (wish.preset) given.set("preset", wish.preset);
  if (wish.settings) given.set("settings", JSON.stringify(wish.settings));
  return answer(`/jobs/${id}/plan?${given}`);
}

export const photo = (id) => `${BASE}/jobs/${id}/photo`;
export const thumbnail = (id) => `${BASE}/jobs/${id}/thumbnail`;
export const sofar = (id, stage, version) => `${BASE}/jobs/${id}/sofar/${stage}?v=${version}`;
export const example = (name) => `${BASE}/examples/${encodeURIComponent(name)}`;
export const zip = (ids) => `${BASE}/zip?jobs=${ids.join(",")}`;
export const file = (id, version, name, save = false) =>
  `${BASE}/jobs/${id}/v${version}/${encodeURIComponent(name)}${save ? "?save=1" : ""}`;

// XMLHttpRequest: fetch does not tell how much of an upload has gone.
export function upload(photo, { group, told, signal }) {
  return new Promise((resolve, reject) => {
    const given = new URLSearchParams({ name: photo.name, ask: "1", group: group || "" });
    const request = new XMLHttpRequest();
    request.open("POST", `${BASE}/jobs?${given}`);
    request.responseType = "json";
    request.upload.onprogress = (event) => told(event.total ? event.loaded / event.total : 0);
    request.onload = () => {
      if (request.status < 300) resolve(request.response);
      else reject(new Error(request.response?.error || `the server said ${request.status}`));
    };
    request.onerror = () =>
      reject(new Error(`${photo.name} could not be sent: does the server still run?`));
    request.onabort = () => reject(Object.assign(new Error("cancelled"), { cancelled: true }));
    signal.addEventListener("abort", () => request.abort());
    request.send(photo);
  });
}
