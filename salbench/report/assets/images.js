// The images of one data set: sorted by any score, each with its fixations, maps, and what the scores are made of.
"use strict";

{
  const { make, text } = salbench;
  const board = salbench.board;
  const root = document.getElementById("images-root");
  const PAGE = 60; // thumbnails that are shown at once
  const COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7", "#ffffff"]; // of observers
  const pictures = board.pictures;
  const ceilings = board.ceilings;
  const SORTS = [
    ["order", "order of the data set"],
    ["score", "score of the first method"],
    ["difference", "first minus second method"],
    ...(ceilings.length ? [["ceiling", `score of ${ceilings[0]}`]] : []),
  ];
  const ORDERS = {
    order: [["down", "first to last"], ["up", "last to first"]],
    difference: [["down", "first method ahead most"], ["up", "first method ahead least"]],
  };
  const VIEWS = { map: "Map", density: "Density of fixations", kl: "KL: where it is paid", nss: "NSS: where it is won", ig: "IG: fixations that are missed", roc: "AUC: ROC curve" };
  const defaults = {
    id: null, sort: "order", way: "down", metric: board.metrics[0].name, a: board.methods[0],
    b: board.methods.includes("center_bias") ? "center_bias" : board.methods[board.methods.length - 1],
    map: (pictures?.mapped ?? [])[0] ?? board.methods[0], show: pictures?.mapped.length ? "map" : "density",
    opacity: "70", points: "1", observer: "",
  };
  const allowed = {
    id: board.ids, sort: SORTS.map(([name]) => name), way: ["down", "up"], metric: board.metrics.map(({ name }) => name),
    a: board.methods, b: board.methods, map: board.methods, show: Object.keys(VIEWS), points: ["0", "1"],
  };
  let state, order, shown = PAGE;

  function read() {
    const given = salbench.fromHash();
    state = { ...defaults };
    for (const key of Object.keys(defaults)) {
      if (key in given && (!(key in allowed) || allowed[key].includes(given[key]))) state[key] = given[key];
    }
    if (!(Number(state.opacity) >= 0 && Number(state.opacity) <= 100)) state.opacity = defaults.opacity;
  }

  // Only what differs from the defaults is in the address.
  function remember() {
    salbench.toHash(Object.fromEntries(Object.entries(state).filter(([key, value]) => value !== defaults[key])));
  }

  const column = (method) => board.scores[state.metric][board.methods.indexOf(method)];
  const metric = () => board.metrics.find(({ name }) => name === state.metric);

  // The number that images are sorted by, and is printed beneath them; null without a value.
  function key(k) {
    if (state.sort === "difference") {
      const [x, y] = [column(state.a)[k], column(state.b)[k]];
      return x === null || y === null ? null : x - y;
    }
    return column(state.sort === "ceiling" ? ceilings[0] : state.a)[k];
  }

  function sort() {
    order = board.ids.map((_, k) => k);
    if (state.sort !== "order") {
      const sign = (metric().up ? 1 : -1) * (state.way === "down" ? 1 : -1);
      const keys = order.map(key);
      order.sort((x, y) => (keys[x] === null) - (keys[y] === null) || sign * (keys[y] - keys[x]));
    } else if (state.way === "up") order.reverse();
  }

  function change(name, value) {
    state[name] = value;
    remember();
    if (["sort", "way", "metric", "a", "b"].includes(name)) {
      sort();
      shown = PAGE;
      drawGrid();
    }
    drawImage();
  }

  // --- controls ---

  function controls() {
    const choose = (label, name, options) => salbench.select(label, options, state[name], (value) => { change(name, value); drawControls(); });
    const names = board.methods.map((method) => [method, method]);
    const needs = { a: state.sort !== "order" && state.sort !== "ceiling", b: state.sort === "difference" };
    return [
      choose("Sort by", "sort", SORTS),
      choose("Metric", "metric", board.metrics.map(({ name, up }) => [name, `${name} ${up ? "↑" : "↓"}`])),
      needs.a ? choose("First method", "a", names) : null,
      needs.b ? choose("Second method", "b", names) : null,
      choose("Order", "way", ORDERS[state.sort] ?? [["down", "best first"], ["up", "worst first"]]),
    ].filter(Boolean);
  }

  function drawControls() {
    const bar = document.getElementById("controls");
    const focused = [...bar.querySelectorAll("select")].indexOf(document.activeElement);
    bar.replaceChildren(...controls());
    bar.querySelectorAll("select")[focused]?.focus();
  }

  // --- the grid ---

  function thumbnail(k) {
    const value = state.sort === "order" ? "" : text(key(k), state.sort === "difference");
    const [height, width] = pictures ? pictures.sizes[k] : [3, 4];
    return make(
      "li", {},
      make(
        "button", { type: "button", "aria-current": board.ids[k] === state.id ? "true" : false, onclick: () => open(k) },
        pictures ? make("img", { src: pictures.thumbnails[k], alt: `Image ${board.ids[k]}`, loading: "lazy", width, height }) : null,
        make("span", { class: "id" }, ...salbench.breakable(board.ids[k])),
        make("span", { class: "number" }, value),
      ),
    );
  }

  function drawGrid() {
    const grid = document.getElementById("grid");
    const said = state.sort === "order" ? "" : `, by ${SORTS.find(([name]) => name === state.sort)[1]} (${state.metric})`;
    grid.replaceChildren(
      make("h2", {}, `${board.ids.length} images${said}`),
      make("ul", { class: pictures ? "grid" : "grid bare" }, ...order.slice(0, shown).map(thumbnail)),
    );
    if (shown < order.length) {
      const more = () => { const last = shown; shown += PAGE; drawGrid(); grid.querySelectorAll("li button")[last].focus(); };
      grid.append(make("p", { class: "controls" }, make("button", { type: "button", onclick: more }, `Show more (${order.length - shown})`)));
    }
  }

  function open(k) {
    change("id", board.ids[k]);
    for (const button of document.querySelectorAll("#grid li button")) {
      const is = button.querySelector(".id").textContent === state.id;
      is ? button.setAttribute("aria-current", "true") : button.removeAttribute("aria-current");
    }
    document.getElementById("image").scrollIntoView({ block: "start" });
  }

  function step(by) {
    const at = order.indexOf(board.ids.indexOf(state.id));
    const next = order[Math.min(Math.max(at + by, 0), order.length - 1)];
    if (board.ids[next] !== state.id) open(next);
  }

  // --- one image ---

  // The record of an image: in a script of its own, because a page opened from disk can fetch no other file.
  function load(k) {
    if (salbench.images[k]) return Promise.resolve(salbench.images[k]);
    return new Promise((resolve, reject) => {
      const script = make("script", { src: `data/${board.slug}/${k}.js`, onload: () => resolve(salbench.images[k]), onerror: reject });
      document.head.append(script);
    });
  }

  function scores(k) {
    const rows = board.methods
      .map((method, m) => ({ method, value: column(method)[k], mean: board.means[state.metric][m] }))
      .filter(({ value }) => value !== null)
      .sort((x, y) => (metric().up ? 1 : -1) * (y.value - x.value));
    const values = rows.map(({ value }) => value);
    const [low, high] = [Math.min(...values, ...rows.map(({ mean }) => mean)), Math.max(...values, ...rows.map(({ mean }) => mean))];
    const at = (value) => (high > low ? (100 * (value - low)) / (high - low) : 50);
    const mapped = pictures?.mapped ?? [];
    return make(
      "table", { class: "scores" },
      make("caption", {}, `${state.metric} on this image; the grey mark is the mean over all images`),
      make("tbody", {}, ...rows.map(({ method, value, mean }) =>
        make("tr", { class: method === state.map && mapped.length ? "chosen" : false },
          make("th", { scope: "row" }, ...(mapped.includes(method) ? [make("button", { type: "button", class: "plain", "aria-pressed": String(method === state.map), onclick: () => change("map", method) }, ...salbench.breakable(method))] : salbench.breakable(method))),
          make("td", {}, text(value)),
          make("td", { class: "dots" }, make("span", { class: "bar", "aria-hidden": "true" }, make("b", { class: "mean", style: `left:${at(mean)}%` }), make("b", { style: `left:${at(value)}%` }))))))
    );
  }

  function dots(record, [height, width]) {
    const radius = Math.max(height, width) / 130;
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, class: "points", "aria-hidden": "true" });
    const values = state.show === "nss" || state.show === "ig" ? record.maps[state.map]?.[state.show] : null;
    const people = [...new Set(record.observers ?? [])].sort((x, y) => x - y);
    const mine = record.points.map((_, n) => n).filter((n) => state.observer === "" || !record.observers || String(record.observers[n]) === state.observer);
    if (values) mine.sort((x, y) => Math.abs(values[x]) - Math.abs(values[y]));
    if (!values && state.observer !== "" && record.order) {
      mine.sort((x, y) => record.order[x] - record.order[y]);
      svg.append(make("polyline", { points: mine.map((n) => record.points[n].join(",")).join(" ") }));
    }
    mine.forEach((n, place) => {
      const [x, y] = record.points[n];
      if (values) svg.append(...worth(x, y, values[n], radius));
      else {
        svg.append(make("circle", { cx: x, cy: y, r: radius, fill: record.observers ? COLOURS[people.indexOf(record.observers[n]) % COLOURS.length] : COLOURS[3] }));
        if (state.observer !== "" && record.order) svg.append(make("text", { x: x + 1.4 * radius, y: y - radius, "font-size": 3 * radius }, String(place + 1)));
      }
    });
    return svg;
  }

  // A fixation by what it adds to a score: a disc where it gains, a cross where it loses; larger for more.
  function worth(x, y, value, radius) {
    const size = radius * (0.6 + 0.75 * Math.sqrt(Math.min(Math.abs(value), 8)));
    const title = make("title", {}, text(value, true));
    if (value >= 0) return [make("circle", { class: "won", cx: x, cy: y, r: size }, title)];
    const d = `M${x - size},${y - size}L${x + size},${y + size}M${x - size},${y + size}L${x + size},${y - size}`;
    return [make("path", { class: "rim", d }), make("path", { class: "lost", d }, title)];
  }

  function overlay(record) {
    const of = record.maps[state.map];
    const source = { map: of?.map, kl: of?.kl, density: record.density }[state.show];
    if (!source) return null;
    return make("img", { src: source, alt: `${VIEWS[state.show]}${state.show === "density" ? "" : `, ${state.map}`}`, class: `over ${state.show === "kl" ? "paid" : "heat"}`, style: `opacity:${state.opacity / 100}` });
  }

  function curve(record) {
    const points = record.maps[state.map]?.roc;
    if (!points) return null;
    const path = points.map(([x, y]) => `${10 + 100 * x},${110 - 100 * y}`).join(" ");
    const area = column(state.map) && board.scores.auc ? text(board.scores.auc[board.methods.indexOf(state.map)][board.ids.indexOf(state.id)]) : "";
    return make(
      "svg", { viewBox: "0 0 122 128", class: "roc", role: "img", "aria-label": `ROC curve of ${state.map}, area ${area}` },
      make("rect", { x: 10, y: 10, width: 100, height: 100 }),
      make("line", { x1: 10, y1: 110, x2: 110, y2: 10 }),
      make("polyline", { points: path }),
      make("text", { x: 60, y: 124 }, "share of all pixels"),
      make("text", { x: -60, y: 6, transform: "rotate(-90)" }, "share of fixations"),
      make("text", { x: 84, y: 92 }, `area ${area}`),
    );
  }

  const SAYS = {
    map: "Colour: the most salient pixels that hold 90 % of the map, brighter towards the peak; equal colours enclose equal shares. From the 8-bit map.",
    density: "Colour: the pixels that hold 90 % of the density of fixations, brighter towards the peak.",
    kl: "Orange: KL is paid, because people look here more than the map says. Blue: KL is gained back, because the map says more. One scale for all methods.",
    nss: "Disc: a fixation where the map is above its mean; the larger, the more it adds to NSS. Cross: below the mean.",
    ig: "Disc: the map predicts the fixation better than the centre bias of the other images. Cross: worse, so the fixation is missed. The larger, the more bits.",
    roc: "Hit rate against the share of the image that is as salient; the diagonal is chance.",
  };

  function views(record) {
    const mapped = pictures.mapped.length > 0;
    return Object.entries(VIEWS).filter(([name]) => name === "density" || (mapped && (name === "map" || record.maps[state.map]?.[name])));
  }

  function stage(k, record) {
    const [height, width] = pictures.sizes[k];
    const view = views(record).some(([name]) => name === state.show) ? state.show : "density";
    state.show = view;
    const canvas = make(
      "div", { class: "stage", style: `aspect-ratio:${width}/${height};max-width:${(78 * width) / height}vh` },
      make("img", { src: pictures.photographs[k], alt: `Image ${state.id} with ${record.points.length} fixations`, width, height }),
      overlay(record),
      state.points === "1" || view === "nss" || view === "ig" ? dots(record, [height, width]) : null,
      view === "roc" ? make("div", { class: "over-roc" }, curve(record)) : null,
    );
    const people = [...new Set(record.observers ?? [])].sort((x, y) => x - y);
    const opacity = make("input", {
      type: "range", min: 0, max: 100, value: state.opacity, id: "opacity", "aria-label": "Opacity of the overlay",
      oninput: (event) => {
        state.opacity = event.target.value;
        canvas.querySelector(".over")?.style.setProperty("opacity", state.opacity / 100);
        remember();
      },
    });
    const box = make("input", { type: "checkbox", onchange: (event) => change("points", event.target.checked ? "1" : "0") });
    box.checked = state.points === "1";
    return [
      make(
        "p", { class: "controls" },
        salbench.select("Show", views(record), view, (value) => change("show", value)),
        pictures.mapped.length ? salbench.select("Method", pictures.mapped.map((name) => [name, name]), state.map, (value) => change("map", value)) : null,
        make("label", { class: "slide" }, "Opacity", opacity),
        make("label", { class: "line" }, box, "Fixations"),
        people.length > 1 ? salbench.select("Observer", [["", `all ${people.length}`], ...people.map((n) => [String(n), String(n)])], state.observer, (value) => change("observer", value)) : null,
      ),
      canvas,
      make("p", { class: "facts" }, SAYS[view], state.observer !== "" && record.order ? " Numbers: order of the fixations." : ""),
      smallMultiples(k, record),
    ];
  }

  // All methods beside each other; a click shows one large.
  function smallMultiples(k, record) {
    const mapped = pictures.mapped.filter((method) => record.maps[method]);
    if (mapped.length < 2) return null;
    const [height, width] = pictures.sizes[k];
    const source = (method) => (state.show === "kl" ? record.maps[method].kl : record.maps[method].map);
    return make(
      "ul", { class: "multiples" },
      ...mapped.map((method) =>
        make("li", {}, make(
          "button", { type: "button", "aria-pressed": String(method === state.map), onclick: () => change("map", method) },
          make("span", { class: "stage", style: `aspect-ratio:${width}/${height}` },
            make("img", { src: pictures.thumbnails[k], alt: "", width, height }),
            source(method) ? make("img", { src: source(method), alt: "", class: `over ${state.show === "kl" ? "paid" : "heat"}` }) : null),
          make("span", { class: "id" }, ...salbench.breakable(method)),
          make("span", { class: "number" }, text(column(method)[k])))))
    );
  }

  async function drawImage() {
    const place = document.getElementById("image");
    const k = board.ids.indexOf(state.id);
    if (k < 0) return place.replaceChildren();
    const record = pictures ? await load(k) : null;
    if (board.ids[k] !== state.id) return; // another image was chosen meanwhile
    const focused = document.activeElement?.closest("#image") ? label(document.activeElement) : null;
    const at = order.indexOf(k);
    place.replaceChildren(
      make(
        "div", { class: "title" },
        make("h2", { id: "title" }, state.id),
        make("span", { class: "facts" }, `${at + 1} of ${order.length}${state.sort === "order" ? "" : ` · ${text(key(k), state.sort === "difference")}`}`),
        make("button", { type: "button", "aria-label": "Previous image", disabled: at === 0 ? "" : null, onclick: () => step(-1) }, "←"),
        make("button", { type: "button", "aria-label": "Next image", disabled: at === order.length - 1 ? "" : null, onclick: () => step(1) }, "→"),
      ),
      make("div", { class: record ? "pair-of-columns" : "" }, record ? make("div", {}, ...stage(k, record).filter(Boolean)) : null, make("div", { class: "side" }, scores(k))),
    );
    if (focused) [...place.querySelectorAll("select, input, button")].find((element) => label(element) === focused)?.focus();
  }

  // What tells a control from the others when it is drawn again.
  function label(element) {
    return element.getAttribute("aria-label") ?? element.closest("label")?.firstChild.textContent ?? element.textContent;
  }

  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey || !state.id) return;
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  window.addEventListener("hashchange", start);

  function start() {
    read();
    sort();
    root.replaceChildren(
      make("p", { class: "controls", id: "controls" }, ...controls()),
      make("section", { id: "image", "aria-label": "Chosen image" }),
      make("section", { id: "grid", "aria-label": "All images" }),
    );
    drawGrid();
    drawImage();
  }
  start();
}
