/** Trades the code in a link's fragment, good once, a pasted access key or a password for a session cookie. */

import { rememberReturn, takeReturnAddress } from "./api.js";

const status = document.getElementById("login-status");
const form = document.getElementById("login-form");
const field = document.getElementById("login-key");
const nameField = document.getElementById("login-name");
const providerLink = document.getElementById("login-provider");

const OUTCOMES = {
  "#out": "You are logged out.",
  "#oidc-refused": "Logging in did not work. Try again, or ask who looks after Parley here.",
  "#oidc-away": "The login provider cannot be asked now. Try again in a moment.",
};

/** Returns the code in the address and removes it there, so that it stays out of history and screenshots. */
function takeCodeFromAddress() {
  const found = /^#code=([A-Za-z0-9_-]+)$/.exec(location.hash);
  if (location.hash.startsWith("#c=")) rememberReturn(location.hash);
  if (location.hash) history.replaceState(null, "", location.pathname);
  return found ? found[1] : null;
}

/** Offers the provider to log in by, where there is one. */
async function offerProvider() {
  let label = null;
  try {
    const response = await fetch("/api/auth/oidc/provider", { headers: { Accept: "application/json" } });
    if (response.ok) ({ label } = await response.json());
  } catch {
    return; // the form says so when it is sent
  }
  if (!label) return;
  providerLink.textContent = label;
  providerLink.href = "/api/auth/oidc";
  providerLink.hidden = false;
}

providerLink.addEventListener("click", () => {
  providerLink.href = `/api/auth/oidc?next=${encodeURIComponent(takeReturnAddress())}`;
});

function showForm(words) {
  status.textContent = words;
  form.hidden = false;
  field.focus();
  if (providerLink.hidden) offerProvider();
}

async function logIn(proof, refusal) {
  status.textContent = "Logging you in…";
  let response;
  try {
    response = await fetch("/api/auth/session", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(proof),
    });
  } catch {
    return showForm("Parley cannot be reached. Is it running?");
  }
  if (response.ok) return location.replace(takeReturnAddress());
  if (response.status === 401) return showForm(refusal);
  return showForm(`Logging in did not work (${response.status}). Try again in a moment.`);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const login = nameField.value.trim();
  if (login) return logIn({ login, password: field.value }, "The name or the password is not right.");
  const key = field.value.trim();
  if (key) logIn({ key }, "This key is not known here. Paste one that is.");
});

function begin() {
  const outcome = OUTCOMES[location.hash];
  const code = takeCodeFromAddress();
  if (code) logIn({ code }, "This link was used already, or it is too old: `parley status` prints a new one.");
  else if (form.hidden) showForm(outcome ?? "Log in with your access key.");
}

addEventListener("hashchange", begin);
begin();
