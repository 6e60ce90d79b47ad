// The browser's half of UnitGrid: shows the cells, and turns clicks and keys into a cell or a channel.

// Rows down and columns to the right; the letters are those of the authors' own viewer.
const STEPS = {
  ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
  i: [-1, 0], k: [1, 0], j: [0, -1], l: [0, 1],
  Home: [0, -Infinity], End: [0, Infinity],
};
const TURNS = { PageDown: 1, PageUp: -1, "+": 1, "-": -1 };

// The cell that a key leads to from cell number `now`; where there is none, the same.
export function reached(key, now, columns, count) {
  const [down, right] = STEPS[key];
  const start = now - (now % columns);
  const across = clamp(now + right, start, Math.min(start + columns, count) - 1);
  const next = across + down * columns;
  return next >= 0 && next < count ? next : across;
}

function render({ model, el }) {
  const stage = add(el, "div", "rcnn-units");
  const picture = add(stage, "img", "");
  picture.alt = ""; // the cells say it
  const grid = add(stage, "div", "cells");
  grid.setAttribute("role", "grid");
  grid.dataset.lmSuppressShortcuts = "true"; // or JupyterLab would go to the next cell on an arrow key
  const hint = add(el, "p", "rcnn-units-hint");
  hint.id = `rcnn-units-${Math.random().toString(36).slice(2)}`; // ids must differ between two grids
  grid.setAttribute("aria-describedby", hint.id);
  const nodes = () => [...grid.querySelectorAll("[role=gridcell]")];

  function build(count, columns) {
    grid.replaceChildren();
    let row = null;
    for (let number = 0; number < count; number++) {
      if (number % columns === 0) {
        row = add(grid, "div", "row");
        row.setAttribute("role", "row");
      }
      const cell = add(row, "div", "cell");
      cell.setAttribute("role", "gridcell");
      cell.addEventListener("click", () => choose(number));
    }
  }
  function showCells() {
    const cells = model.get("cells");
    const columns = model.get("columns");
    const had = [nodes().length, Number(grid.style.getPropertyValue("--columns"))];
    const focused = grid.contains(document.activeElement);
    grid.style.setProperty("--columns", columns);
    grid.style.setProperty("--rows", model.get("rows"));
    if (had[0] !== cells.length || had[1] !== columns) build(cells.length, columns);
    nodes().forEach((node, number) => {
      const { name, text, colour, ink } = cells[number];
      node.setAttribute("aria-label", name);
      node.textContent = text ?? "";
      node.style.backgroundColor = colour ?? "";
      node.style.color = ink ?? "";
    });
    showChosen();
    if (focused) focusChosen();
  }
  function showChosen() {
    const chosen = model.get("chosen");
    const focused = grid.contains(document.activeElement);
    nodes().forEach((node, number) => {
      node.setAttribute("aria-selected", String(number === chosen && model.get("framed")));
      node.tabIndex = number === chosen ? 0 : -1; // Tab leads to the chosen cell, arrow keys on from there
    });
    if (focused) focusChosen();
  }
  const focusChosen = () => nodes()[model.get("chosen")]?.focus({ preventScroll: true });
  function showImage() {
    URL.revokeObjectURL(picture.src);
    const bytes = model.get("image");
    const empty = !bytes?.byteLength;
    stage.classList.toggle("pictured", !empty);
    picture.hidden = empty;
    if (!empty) picture.src = URL.createObjectURL(new Blob([bytes]));
  }
  function showWords() {
    grid.setAttribute("aria-label", model.get("label"));
    hint.textContent = model.get("hint");
  }

  function choose(number) {
    model.set("chosen", number);
    model.set("framed", true);
    model.save_changes(); // the front end holds back what the kernel is too slow for
    focusChosen();
  }
  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const turns = event.key in TURNS && model.get("n_channels") > 1;
    if (!turns && !(event.key in STEPS)) return;
    event.preventDefault();
    event.stopPropagation();
    if (!turns) {
      choose(reached(event.key, model.get("chosen"), model.get("columns"), nodes().length));
      return;
    }
    model.set("channel", clamp(model.get("channel") + TURNS[event.key], 0, model.get("n_channels") - 1));
    model.save_changes();
  }
  grid.addEventListener("keydown", press);

  const stop = follow(model, {
    image: showImage, label: showWords, hint: showWords,
    columns: showCells, rows: showCells, cells: showCells, chosen: showChosen, framed: showChosen,
  });
  return () => {
    stop();
    URL.revokeObjectURL(picture.src);
  };
}

export default { initialize, render };
