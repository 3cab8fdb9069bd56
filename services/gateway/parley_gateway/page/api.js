/** Calls to the gateway's HTTP API. A 401 anywhere leads to the log-in page. */

const RETURN_KEY = "parley.return";
let isLeaving = false;

/** What the gateway refused, with its code and its words for people. */
export class ApiError extends Error {
  constructor(status, body) {
    const error = body?.error ?? {};
    super(error.message ?? `The server answered with ${status}.`);
    this.status = status;
    this.code = error.code ?? "internal";
  }
}

/** Keeps the address to go back to after logging in. */
export function rememberReturn(hash) {
  sessionStorage.setItem(RETURN_KEY, hash);
}

/** Goes to the log-in page, remembering which conversation was open. */
export function goToLogin() {
  if (isLeaving) return;
  rememberReturn(location.hash);
  location.replace("/login");
}

/** Returns where to go after logging in. */
export function takeReturnAddress() {
  const hash = sessionStorage.getItem(RETURN_KEY) ?? "";
  sessionStorage.removeItem(RETURN_KEY);
  return `/${hash.startsWith("#c=") ? hash : ""}`;
}

async function call(method, path, body) {
  const options = { method, headers: { Accept: "application/json" } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options);
  const text = await response.text();
  const answer = parseJson(text);
  if (response.ok) return answer;
  if (response.status === 401) goToLogin();
  throw new ApiError(response.status, answer);
}

function parseJson(text) {
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

/** Ends the session and forgets what this browser keeps; running answers go on and are found again later. */
export async function logOut() {
  isLeaving = true;
  let next = "/login#out";
  try {
    next = (await call("DELETE", "/api/auth/session"))?.provider_logout ?? next;
  } catch (error) {
    isLeaving = error.status === 401;
    if (!isLeaving) throw error;
  }
  sessionStorage.clear();
  localStorage.clear();
  location.replace(next);
}

const at = encodeURIComponent;

export const listConversations = (cursor) =>
  call("GET", `/api/conversations${cursor ? `?cursor=${at(cursor)}` : ""}`);
export const readConversation = (id, cursor) =>
  call("GET", `/api/conversations/${at(id)}${cursor ? `?cursor=${at(cursor)}` : ""}`);
export const renameConversation = (id, title) => call("PATCH", `/api/conversations/${at(id)}`, { title });
export const deleteConversation = (id) => call("DELETE", `/api/conversations/${at(id)}`);
export const listModels = () => call("GET", "/v1/models");
export const listCollections = () => call("GET", "/api/collections");
export const readDocument = (id) => call("GET", `/api/documents/${at(id)}`);
export const readPassage = (id, start, end) =>
  call("GET", `/api/documents/${at(id)}/passage?start=${at(start)}&end=${at(end)}`);
export const listVerdicts = (cursor) => call("GET", `/api/feedback?limit=1000${cursor ? `&cursor=${at(cursor)}` : ""}`);
export const sendVerdict = (turnId, n, verdict) => call("POST", "/api/feedback", { turn_id: turnId, n, verdict });
export const deleteVerdict = (turnId, n) => call("DELETE", `/api/feedback/${at(turnId)}/${at(n)}`);

/** Uploads a file; `onProgress` gets the share sent, 0 to 1. XMLHttpRequest, because fetch does not report it. */
export function uploadDocument(file, collection, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("collection", collection);
    form.append("file", file, file.name);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    });
    request.addEventListener("load", () => {
      const answer = parseJson(request.responseText);
      if (request.status >= 200 && request.status < 300) return resolve(answer);
      if (request.status === 401) goToLogin();
      return reject(new ApiError(request.status, answer));
    });
    request.addEventListener("error", () => reject(new Error("The connection broke while sending the file.")));
    request.open("POST", "/api/documents");
    request.setRequestHeader("Accept", "application/json");
    request.send(form);
  });
}
