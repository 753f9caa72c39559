// What every page does: sort tables, copy them as text, choose among views. Text from data enters the page as text only.
"use strict";

const salbench = {
  board: null, // what data/<board>/scores.js holds
  images: {}, // {index: what data/<board>/<index>.js holds}

  // An element: make("td", {class: "best"}, "0.92", another). Attributes that are false or null are left out.
  make(name, attributes = {}, ...children) {
    const svg = ["svg", "g", "circle", "line", "path", "polyline", "rect", "text", "title"].includes(name);
    const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  },

  // A name that may break after an underscore.
  breakable(text) {
    const last = text.split("_").length - 1;
    return text.split("_").flatMap((part, k) => (k < last ? [`${part}_`, document.createElement("wbr")] : [part]));
  },

  say(text) {
    document.getElementById("said").textContent = text;
  },

  // The number as tables print it.
  text(value, signed = false) {
    if (value === null || value === undefined) return "–";
    const shown = value.toFixed(3).replace(/^-(0\.0+)$/, "$1");
    return (signed && value > 0 ? "+" : "") + shown;
  },

  select(label, options, chosen, change) {
    const { make } = salbench;
    const box = make("select", { "aria-label": label, onchange: (event) => change(event.target.value) });
    for (const [value, text] of options) box.append(make("option", { value, selected: value === chosen }, text));
    return make("label", {}, label, box);
  },

  // What stands after # as {key: value}, and the way back. Keys that are not `known` are ignored.
  fromHash() {
    return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  },
  toHash(state, anchor) {
    const words = Object.entries(state).filter(([, value]) => value !== null && value !== undefined && value !== "");
    history.replaceState(null, "", "#" + new URLSearchParams(words).toString());
  },
};

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = salbench.make("button", { type: "button" });
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => sortBy(table, heads, column));
  });
}

// First click: the best value on top. Rows stay within their group. Empty cells come last.
function sortBy(table, heads, column) {
  const head = heads[column];
  const best = column === 0 ? "ascending" : head.dataset.up === "0" ? "ascending" : "descending";
  const other = best === "ascending" ? "descending" : "ascending";
  const order = head.getAttribute("aria-sort") === best ? other : best;
  heads.forEach((each) => each.setAttribute("aria-sort", each === head ? order : "none"));
  const sign = order === "ascending" ? 1 : -1;
  const key = (row) => (column ? parseFloat(row.cells[column].dataset.value) : row.cells[0].textContent);
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (!column) return sign * x.localeCompare(y);
    return isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) : sign * (x - y);
  };
  for (const body of table.tBodies) {
    body.append(...[...body.rows].filter((row) => !row.matches(".group")).sort(compare));
  }
  salbench.say(`Sorted by ${head.textContent.trim()}, ${order}`);
}

function copying(group) {
  const texts = JSON.parse(group.querySelector("script").textContent);
  group.addEventListener("click", async (event) => {
    const style = event.target.dataset.copy;
    if (!style) return;
    try {
      await navigator.clipboard.writeText(texts[style]);
      const label = event.target.textContent;
      event.target.textContent = "Copied";
      setTimeout(() => (event.target.textContent = label), 1200);
      salbench.say("Copied");
    } catch {
      show(group, texts[style]);
    }
  });
}

// Where the browser does not let a page copy: the text, selected.
function show(group, text) {
  group.querySelector("textarea")?.remove();
  const box = salbench.make("textarea", { readonly: "", "aria-label": "Text of the table" });
  box.value = text;
  group.append(box);
  box.select();
}

function choosing(section) {
  section.querySelector("[data-choose]").addEventListener("change", (event) => {
    for (const part of section.querySelectorAll("[data-choice]")) part.hidden = part.dataset.choice !== event.target.value;
  });
}

document.querySelectorAll("table.sortable").forEach(sortable);
document.querySelectorAll(".copy").forEach(copying);
document.querySelectorAll(".choice").forEach(choosing);
