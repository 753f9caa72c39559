// Two methods on one data set: the paired difference by each metric, and the images where they differ most.
"use strict";

{
  const { make, text } = salbench;
  const board = salbench.board;
  const root = document.getElementById("compare-root");
  const SHOWN = 10;
  const defaults = {
    a: board.methods[0],
    b: board.methods.includes("center_bias") && board.methods[0] !== "center_bias" ? "center_bias" : board.methods[1],
    metric: board.metrics[0].name,
  };
  let state = defaults;

  function read() {
    const given = salbench.fromHash();
    const valid = { a: board.methods, b: board.methods, metric: board.metrics.map((metric) => metric.name) };
    state = { ...defaults };
    for (const key of Object.keys(valid)) if (valid[key].includes(given[key])) state[key] = given[key];
    return "a" in given || "b" in given;
  }

  // The paired difference of methods number i and j: [mean, low, high, p, images], or null.
  function pair(i, j, metric) {
    if (i === j) return null;
    const [first, second] = i < j ? [i, j] : [j, i];
    const n = board.methods.length;
    const place = first * n - (first * (first + 1)) / 2 + (second - first - 1);
    const found = board.pairs[place][metric];
    if (!found || i < j) return found;
    const [mean, low, high, p, images] = found;
    return [-mean, -high, -low, p, images];
  }

  function bar(difference, scale) {
    if (!difference) return null;
    const at = (value) => 50 + (50 * value) / scale;
    const [mean, low, high] = difference;
    return make(
      "svg", { class: "difference", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      make("line", { class: "zero", x1: 50, x2: 50, y1: 0, y2: 10 }),
      make("line", { class: "interval", x1: at(low), x2: at(high), y1: 5, y2: 5 }),
      make("line", { class: "mean", x1: at(mean), x2: at(mean), y1: 1.5, y2: 8.5 }),
    );
  }

  function differences(i, j) {
    const rows = board.metrics.map(({ name, up }) => {
      const found = pair(i, j, name);
      const scale = found ? Math.max(Math.abs(found[1]), Math.abs(found[2])) * 1.05 || 1 : 1;
      const sure = found && (found[1] > 0 || found[2] < 0);
      const ahead = sure ? ((found[0] > 0) === up ? state.a : state.b) : "";
      return make(
        "tr", {},
        make("th", { scope: "row" }, `${name} ${up ? "↑" : "↓"}`),
        make("td", {}, text(board.means[name][i])),
        make("td", {}, text(board.means[name][j])),
        make("td", {}, found ? `${text(found[0], true)} ` : "–", found ? make("small", {}, `[${text(found[1], true)}, ${text(found[2], true)}]`) : null),
        make("td", { class: "wide" }, bar(found, scale)),
        make("td", {}, found ? (found[3] < 0.001 ? "< 0.001" : found[3].toFixed(3)) : "–"),
        make("td", {}, found ? String(found[4]) : "–"),
        make("td", { class: "ahead" }, ahead),
      );
    });
    const heads = ["", state.a, state.b, "difference [95 %]", "", "p", "images", "ahead"];
    return make(
      "div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Paired differences" },
      make("table", { class: "pair" }, make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))), make("tbody", {}, ...rows)),
    );
  }

  // A list of the images at one end, sorted by how far the first method is ahead: "down" (most) or "up" (least on top).
  function list(title, images, metric, way) {
    const link = (k) => {
      const state_ = new URLSearchParams({ id: board.ids[k], sort: "difference", way, metric, a: state.a, b: state.b, map: state.a });
      return `images-${board.slug}.html#${state_}`;
    };
    return make(
      "div", {},
      make("h3", {}, title),
      make(
        "ol", { class: "images" },
        ...images.map(({ k, difference, a, b }) =>
          make(
            "li", {},
            make(
              "a", { href: link(k) },
              board.pictures ? make("img", { src: board.pictures.thumbnails[k], alt: "", loading: "lazy", width: 80, height: 60 }) : null,
              make("span", { class: "id" }, board.ids[k]),
            ),
            make("span", { class: "number" }, text(difference, true), make("small", {}, ` ${text(a)} against ${text(b)}`)),
          ),
        ),
      ),
    );
  }

  function images(i, j) {
    const metric = board.metrics.find(({ name }) => name === state.metric);
    const [first, second] = [board.scores[state.metric][i], board.scores[state.metric][j]];
    const found = board.ids
      .map((_, k) => ({ k, a: first[k], b: second[k], difference: first[k] - second[k] }))
      .filter(({ a, b }) => a !== null && b !== null)
      .sort((x, y) => (metric.up ? 1 : -1) * (y.difference - x.difference));
    return make(
      "div", { class: "ends" },
      list(`${state.a} is ahead most`, found.slice(0, SHOWN), metric.name, "down"),
      list(`${state.a} is ahead least`, found.slice(-SHOWN).reverse(), metric.name, "up"),
    );
  }

  function draw() {
    const [i, j] = [board.methods.indexOf(state.a), board.methods.indexOf(state.b)];
    const change = (key) => (value) => {
      state[key] = value;
      salbench.toHash(state);
      draw();
      root.querySelector(`[data-key="${key}"] select`).focus();
    };
    const choose = (label, key, options) => {
      const box = salbench.select(label, options.map((name) => [name, name]), state[key], change(key));
      box.dataset.key = key;
      return box;
    };
    const swap = make("button", { type: "button", onclick: () => ((state = { ...state, a: state.b, b: state.a }), salbench.toHash(state), draw()) }, "Swap");
    root.replaceChildren(
      make("p", { class: "controls" }, choose("First method", "a", board.methods), choose("Second method", "b", board.methods), swap),
      differences(i, j),
      make("p", { class: "facts" }, "Difference: first minus second, paired by image, with the 95 % interval and p of the paired t-test, not corrected for the number of comparisons. A method is ahead if the interval leaves out zero."),
      make("p", { class: "controls" }, choose("Images by", "metric", board.metrics.map(({ name }) => name))),
      images(i, j),
    );
  }

  if (board.methods.length > 1) {
    if (read()) document.getElementById("comparison").scrollIntoView();
    window.addEventListener("hashchange", () => read() && draw());
    draw();
  } else root.replaceChildren(make("p", {}, "There are results of one method only."));
}
