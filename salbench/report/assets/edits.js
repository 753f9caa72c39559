// Edits before and after: two pictures on top of each other, and a slider between them.
"use strict";

{
  const { make, text } = salbench;
  const sources = salbench.edits;
  const root = document.getElementById("edits-root");
  let state = { source: sources[0].source, edit: sources[0].edits[0].name };
  let split = 50;

  function read() {
    const given = salbench.fromHash();
    const source = sources.find((each) => each.source === given.source) ?? sources[0];
    const edit = source.edits.find((each) => each.name === given.edit) ?? source.edits[source.edits.length - 1];
    state = { source: source.source, edit: edit.name };
  }

  function choose(key) {
    return (value) => {
      state[key] = value;
      salbench.toHash(state);
      draw();
      root.querySelectorAll("select")[key === "source" ? 0 : 1].focus();
    };
  }

  function draw() {
    const source = sources.find((each) => each.source === state.source);
    const edit = source.edits.find((each) => each.name === state.edit) ?? source.edits[0];
    const after = make("img", { class: "after", src: edit.picture, alt: `${source.source} after the edit ${edit.name}` });
    const place = (percent) => {
      split = percent;
      after.style.clipPath = `inset(0 0 0 ${percent}%)`;
      line.style.left = `${percent}%`;
    };
    const line = make("span", { class: "split", "aria-hidden": "true" });
    const slider = make("input", { type: "range", min: 0, max: 100, value: split, "aria-label": "Before and after", oninput: (event) => place(event.target.value) });
    place(split);
    root.replaceChildren(
      make("p", { class: "controls" },
        salbench.select("Image", sources.map((each) => [each.source, each.source]), state.source, choose("source")),
        salbench.select("Edit", source.edits.map((each) => [each.name, each.name]), edit.name, choose("edit"))),
      make("div", { class: "pair-of-columns" },
        make("div", {},
          make("div", { class: "before-after" }, make("img", { src: source.original, alt: `${source.source} without an edit` }), after, line),
          slider,
          make("p", { class: "facts" }, "Left of the line: without the edit; right of it: edited.")),
        make("table", { class: "scores" },
          make("caption", {}, "Measured inside the region"),
          make("thead", {}, make("tr", {}, ...["", "before", "after"].map((head) => make("th", { scope: "col" }, head)))),
          make("tbody", {}, ...Object.entries(edit.values).map(([name, [before, value]]) =>
            make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, text(before)), make("td", {}, text(value))))))),
    );
  }

  window.addEventListener("hashchange", () => (read(), draw()));
  read();
  draw();
}
