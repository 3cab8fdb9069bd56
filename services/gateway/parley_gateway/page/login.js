/** Trades an access key, from the link's fragment or pasted, or a password for a session cookie. */

import { rememberReturn, takeReturnAddress } from "./api.js";

const status = document.getElementById("login-status");
const form = document.getElementById("login-form");
const field = document.getElementById("login-key");
const nameField = document.getElementById("login-name");

/** Returns the key in the address and removes it there, so that it stays out of history and screenshots. */
function takeKeyFromAddress() {
  const found = /^#key=(.+)$/.exec(location.hash);
  if (location.hash.startsWith("#c=")) rememberReturn(location.hash);
  if (location.hash) history.replaceState(null, "", location.pathname);
  if (!found) return null;
  try {
    return decodeURIComponent(found[1]);
  } catch {
    return found[1];
  }
}

function showForm(words) {
  status.textContent = words;
  form.hidden = false;
  field.focus();
}

async function logIn(key, login) {
  status.textContent = "Logging you in…";
  let response;
  try {
    response = await fetch("/api/auth/session", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(login ? { login, password: key } : { key }),
    });
  } catch {
    return showForm("Parley cannot be reached. Is it running?");
  }
  if (response.ok) return location.replace(takeReturnAddress());
  if (response.status === 401) {
    return showForm(login ? "The name or the password is not right." : "This key is not known here. Paste one that is.");
  }
  return showForm(`Logging in did not work (${response.status}). Try again in a moment.`);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const login = nameField.value.trim();
  const key = login ? field.value : field.value.trim();
  if (key) logIn(key, login);
});

function begin() {
  const hasLeft = location.hash === "#out";
  const key = takeKeyFromAddress();
  if (key) logIn(key);
  else if (form.hidden) showForm(hasLeft ? "You are logged out." : "Log in with your access key.");
}

addEventListener("hashchange", begin);
begin();
