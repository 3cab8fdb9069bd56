/** Where a question looks things up: all documents, some collections, or none; and the model that answers. */

import { listCollections, listModels } from "./api.js";
import { element } from "./dom.js";
import { countWords, modelWords } from "./words.js";

const MODEL_KEY = "parley.model";

/** The model picker; the first model is the server's default and is not named in requests. */
export class ModelPicker {
  constructor(select) {
    this.select = select;
    select.addEventListener("change", () => localStorage.setItem(MODEL_KEY, select.value));
  }

  get chosen() {
    return this.select.selectedIndex > 0 ? this.select.value : null;
  }

  async reload() {
    // Bots are listed too; they are asked in a way of their own.
    const data = (await listModels()).data.filter(({ id }) => !id.startsWith("bot:"));
    const wanted = this.select.value || localStorage.getItem(MODEL_KEY);
    this.select.replaceChildren(...data.map(({ id }) => element("option", { value: id }, modelWords(id))));
    if (data.some(({ id }) => id === wanted)) this.select.value = wanted;
    this.select.disabled = data.length === 0;
    this.select.hidden = data.length === 0;
  }
}

/** The picker of collections and of what else a question may read. */
export class SourcesPicker {
  #collections = [];
  #chosen = new Set();

  constructor(details) {
    this.details = details;
    this.choices = details.querySelector("#collection-choices");
    this.names = details.querySelector("#collection-names");
    this.label = details.querySelector("#sources-label");
    this.web = details.querySelector("#web");
    this.target = details.querySelector("#upload-collection");
    details.addEventListener("change", (event) => this.#changed(event));
    details.addEventListener("keydown", (event) => this.#pressed(event));
    document.addEventListener("pointerdown", (event) => {
      if (!details.contains(event.target)) details.open = false;
    });
  }

  get knownNames() {
    return this.#collections.map(({ name }) => name);
  }

  get uploadCollection() {
    return this.target.value.trim() || "my-files";
  }

  /** Returns the optional fields of `start_turn` that this picker decides. */
  request() {
    const scope = this.#scope();
    const fields = {};
    if (scope === "none") fields.collections = [];
    if (scope === "some" && this.#chosen.size) fields.collections = [...this.#chosen];
    if (this.web.checked) fields.web = true;
    return fields;
  }

  async reload() {
    const { collections } = await listCollections();
    this.#collections = collections;
    const known = new Set(this.knownNames);
    this.#chosen = new Set([...this.#chosen].filter((name) => known.has(name)));
    this.#render();
  }

  #scope() {
    return this.details.querySelector("input[name=scope]:checked").value;
  }

  #render() {
    const boxes = this.#collections.map((collection) => this.#choice(collection));
    const none = element("p", { class: "quiet" }, "There are no collections yet. Add a file to make one.");
    this.choices.replaceChildren(...(boxes.length ? boxes : [none]));
    this.names.replaceChildren(...this.#collections.map(({ name }) => element("option", { value: name })));
    this.#relabel();
  }

  #choice({ name, documents }) {
    const box = element("input", { type: "checkbox", name: "collection", value: name });
    box.checked = this.#chosen.has(name);
    const size = element("span", { class: "quiet" }, countWords(documents, "document", "documents"));
    return element("label", { class: "choice" }, box, element("span", { class: "choice-name" }, name), size);
  }

  #changed({ target }) {
    if (target.name === "collection") {
      if (target.checked) this.#chosen.add(target.value);
      else this.#chosen.delete(target.value);
      const scope = this.#chosen.size ? "some" : "all";
      this.details.querySelector(`input[name=scope][value=${scope}]`).checked = true;
      if (target.checked && this.#chosen.size === 1) this.target.value = target.value;
    }
    this.#relabel();
  }

  #relabel() {
    const scope = this.#scope();
    const chosen = [...this.#chosen];
    let words = "All documents";
    if (scope === "none") words = "No documents";
    if (scope === "some" && chosen.length === 1) words = chosen[0];
    if (scope === "some" && chosen.length > 1) words = `${chosen.length} collections`;
    this.label.textContent = this.web.checked ? `${words} + web` : words;
  }

  #pressed(event) {
    if (event.key !== "Escape" || !this.details.open) return;
    event.stopPropagation();
    this.details.open = false;
    this.details.querySelector("summary").focus();
  }
}
