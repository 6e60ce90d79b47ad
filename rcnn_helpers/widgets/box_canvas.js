// The browser's half of BoxCanvas: draws the picture and its box, and turns pointer and keys into a new box.

const HANDLES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const SMALLEST_DRAWN = 3; // pixels on the screen; a shorter drag was meant as a click

// Two sides in order, at least one pixel apart, inside 0..length; as BoxCanvas._put_inside does it.
function ordered(one, other, length) {
  const start = clamp(Math.min(one, other), 0, length - 1);
  return [start, clamp(Math.max(one, other), start + 1, length)];
}

// The box after its sides were moved: `part` names them ("nw", "e"), or is "all".
export function changed([x1, y1, x2, y2], part, dx, dy, width, height) {
  if (part === "all") {
    dx = clamp(dx, -x1, width - x2);
    dy = clamp(dy, -y1, height - y2);
    return [x1 + dx, y1 + dy, x2 + dx, y2 + dy];
  }
  const [left, right] = ordered(x1 + part.includes("w") * dx, x2 + part.includes("e") * dx, width);
  const [top, bottom] = ordered(y1 + part.includes("n") * dy, y2 + part.includes("s") * dy, height);
  return [left, top, right, bottom];
}

function render({ model, el }) {
  const stage = add(el, "div", "rcnn-canvas");
  stage.tabIndex = 0;
  stage.setAttribute("role", "application");
  stage.dataset.lmSuppressShortcuts = "true"; // or JupyterLab would go to the next cell on an arrow key
  const picture = add(stage, "img", "");
  picture.alt = ""; // the stage says it
  const outlines = add(stage, "div", "outlines");
  const frame = add(stage, "div", "box");
  for (const part of HANDLES) {
    const handle = add(frame, "div", "handle");
    handle.dataset.part = part;
    handle.style.left = part.includes("w") ? "0" : part.includes("e") ? "100%" : "50%";
    handle.style.top = part.includes("n") ? "0" : part.includes("s") ? "100%" : "50%";
    handle.style.cursor = `${part}-resize`;
  }
  const hint = add(el, "p", "rcnn-canvas-hint");
  hint.ariaHidden = "true"; // the stage says the same
  const size = () => [model.get("width"), model.get("height")];
  const across = (x) => `${(100 * x) / model.get("width")}%`;
  const down = (y) => `${(100 * y) / model.get("height")}%`;
  function place(node, [x1, y1, x2, y2]) {
    const [left, top, width, height] = [across(x1), down(y1), across(x2 - x1), down(y2 - y1)];
    Object.assign(node.style, { left, top, width, height });
  }
  const showBox = () => place(frame, model.get("box"));
  function showLabel() {
    stage.setAttribute("aria-label", `Picture with a box. ${model.get("label")}`);
    hint.textContent = model.get("label");
  }
  function showOutlines() {
    const [width, height] = size();
    outlines.replaceChildren();
    for (const { box, look, label } of model.get("outlines")) {
      place(add(outlines, "div", `outline ${look}`), box);
      if (!label) continue;
      const name = add(outlines, "span", ""); // below its box, and inside the picture
      name.textContent = label;
      name.style.left = across(clamp(box[0], 0, 0.7 * width));
      name.style.top = down(clamp(box[3], 0, 0.94 * height));
    }
  }
  function showImage() {
    URL.revokeObjectURL(picture.src);
    picture.src = URL.createObjectURL(new Blob([model.get("image")]));
  }
  function send(box) {
    model.set("box", box);
    model.save_changes(); // the front end holds back what the kernel is too slow for
  }

  let drag = null;
  function position(event) {
    const seen = stage.getBoundingClientRect();
    const [width, height] = size();
    return [((event.clientX - seen.left) * width) / seen.width, ((event.clientY - seen.top) * height) / seen.height];
  }
  function begin(event) {
    if (event.button !== 0) return;
    event.preventDefault(); // no selecting of text
    stage.focus();
    stage.setPointerCapture(event.pointerId);
    const part = event.target.dataset.part ?? (event.target === frame ? "all" : "new");
    drag = { part, box: model.get("box"), from: position(event), seenFrom: [event.clientX, event.clientY] };
  }
  function go(event) {
    if (!drag) return;
    const [x, y] = position(event).map(Math.round);
    const [fromX, fromY] = drag.from.map(Math.round);
    if (drag.part === "new") {
      const far = Math.hypot(event.clientX - drag.seenFrom[0], event.clientY - drag.seenFrom[1]);
      if (far < SMALLEST_DRAWN) return;
      drag = { ...drag, part: "se", box: [fromX, fromY, fromX, fromY] };
    }
    send(changed(drag.box, drag.part, x - fromX, y - fromY, ...size()));
  }
  const end = () => (drag = null);
  function press(event) {
    const arrow = ARROWS[event.key];
    if (!arrow) return;
    event.preventDefault();
    event.stopPropagation();
    const step = event.repeat ? 4 : 1; // a key held down goes faster
    const part = event.shiftKey ? "se" : "all";
    send(changed(model.get("box"), part, step * arrow[0], step * arrow[1], ...size()));
  }
  stage.addEventListener("pointerdown", begin);
  stage.addEventListener("pointermove", go);
  stage.addEventListener("pointerup", end);
  stage.addEventListener("pointercancel", end);
  stage.addEventListener("keydown", press);

  const stop = follow(model, { image: showImage, label: showLabel, outlines: showOutlines, box: showBox });
  return () => {
    stop();
    URL.revokeObjectURL(picture.src);
  };
}

export default { initialize, render };
