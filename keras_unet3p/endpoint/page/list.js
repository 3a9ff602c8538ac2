/** The list of images: a list box that keeps the focus and moves a selection. */

const shares = share => share ? (100 * share).toFixed(share < 0.001 ? 3 : 1) + " % differ" : "no difference";

export class ImageList {
  /** @param select called with an entry that was chosen  @param remove called with one to take out */
  constructor(element, select, remove) {
    Object.assign(this, {element, select, remove, rows: new Map(), entries: []});
    element.addEventListener("keydown", event => this.key(event));
    element.addEventListener("click", event => {
      const row = event.target.closest("li");
      if (row) select(this.entries.find(entry => this.rows.get(entry) === row));
    });
  }

  key(event) {
    const at = this.entries.findIndex(entry => this.rows.get(entry).ariaSelected === "true");
    const last = this.entries.length - 1;
    const to = {ArrowDown: at + 1, ArrowRight: at + 1, ArrowUp: at - 1, ArrowLeft: at - 1, Home: 0, End: last,
                PageDown: at + 10, PageUp: at - 10}[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Delete" && this.entries[at]) this.remove(this.entries[at]);
    else if (to !== undefined) this.select(this.entries[Math.min(Math.max(to, 0), last)]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Shows these entries, in their order. */
  set(entries) {
    const gone = new Set(this.rows.keys());
    for (const entry of entries) {
      gone.delete(entry);
      if (!this.rows.has(entry)) {
        const row = this.make();
        this.rows.set(entry, row);
        this.element.append(row);
        this.update(entry);
      }
    }
    for (const entry of gone) {
      this.rows.get(entry).remove();
      this.rows.delete(entry);
    }
    this.entries = [...entries];
  }

  make() {
    const row = document.createElement("li");
    row.role = "option";
    row.id = "image-" + (this.made = (this.made || 0) + 1);
    row.ariaSelected = "false";
    const thumb = document.createElement("canvas"), name = document.createElement("span");
    const state = document.createElement("span");
    thumb.className = "thumb";
    name.className = "name";
    state.className = "state";
    row.append(thumb, name, state);
    return row;
  }

  update(entry) {
    const row = this.rows.get(entry);
    if (!row) return;
    const result = entry.result(), [thumb, name, state] = row.children;
    if (entry.thumb && thumb.src !== entry.thumb) {
      const image = thumb.tagName === "IMG" ? thumb : document.createElement("img");
      image.className = "thumb";
      image.alt = "";
      image.src = entry.thumb;
      thumb.replaceWith(image);
    }
    name.textContent = entry.name;
    row.title = entry.name + (result.error ? ": " + result.error : "");
    state.textContent = {waiting: "waiting", running: "segmenting …", done: told(entry, result),
                         error: "error"}[result.state];
    state.classList.toggle("bad", result.state === "error");
    row.dataset.state = result.state;
  }

  choose(entry) {
    for (const [other, row] of this.rows) row.ariaSelected = String(other === entry);
    const row = this.rows.get(entry);
    if (!row) return this.element.removeAttribute("aria-activedescendant");
    this.element.setAttribute("aria-activedescendant", row.id);
    row.scrollIntoView({block: "nearest", inline: "nearest"});
  }
}

function told(entry, {first, comparison}) {
  const pages = entry.pages > 1 ? `page ${entry.page + 1}/${entry.pages}, ` : "";
  if (comparison) return pages + shares(comparison.share);
  return pages + (first?.rows ? first.rows.length + (first.rows.length === 1 ? " object" : " objects") : "done");
}
