/** Takes a link of one use, whose token is in the fragment: becomes a user, or sets a new password. */

const status = document.getElementById("link-status");
const form = document.getElementById("link-form");
const name = document.getElementById("link-name");
const password = document.getElementById("link-password");

const WORDS = {
  invitation: "You are invited. Choose a name and a password.",
  reset: "Choose a new password. You will be logged out everywhere else.",
};

/** Returns what the link is for and its token, and removes both from the address and so from the history. */
function takeLink() {
  const [, kind, token] = /^#(invitation|reset)=([A-Za-z0-9_-]+)$/.exec(location.hash) ?? [];
  if (location.hash) history.replaceState(null, "", location.pathname);
  return { kind, token };
}

async function post(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify(body),
  });
  if (response.ok) return;
  const error = (await response.json().catch(() => null))?.error;
  throw new Error(error?.message ?? `The server answered with ${response.status}.`);
}

async function use({ kind, token }) {
  status.textContent = "One moment…";
  try {
    if (kind === "invitation") {
      const login = name.value.trim();
      await post("/api/auth/invitation", { token, name: login, password: password.value });
      await post("/api/auth/session", { login, password: password.value });
      location.replace("/");
    } else {
      await post("/api/auth/reset", { token, password: password.value });
      location.replace("/login");
    }
  } catch (error) {
    status.textContent = error.message;
  }
}

const link = takeLink();
if (link.kind) {
  status.textContent = WORDS[link.kind];
  name.required = link.kind === "invitation";
  name.hidden = document.getElementById("link-name-label").hidden = !name.required;
  form.hidden = false;
  (name.required ? name : password).focus();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    use(link);
  });
} else {
  status.textContent = "This link is not whole. Open it again as you were given it.";
}
