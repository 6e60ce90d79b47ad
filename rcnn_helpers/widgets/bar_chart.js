// The browser's half of BarChart: draws the bars, and turns clicks and keys into the chosen one.

const STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };

// The bar that a key leads to from bar number `now` of `count`, or null for any other key.
export function reached(key, now, count) {
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  if (!(key in STEPS)) return null;
  return clamp(now + STEPS[key], 0, count - 1);
}

function render({ model, el }) {
  const chart = add(el, "div", "rcnn-bars");
  chart.tabIndex = 0;
  chart.setAttribute("role", "listbox");
  chart.setAttribute("aria-orientation", "horizontal");
  chart.dataset.lmSuppressShortcuts = "true"; // or JupyterLab would go to the next cell on an arrow key
  const hint = add(el, "p", "rcnn-bars-hint");
  hint.ariaHidden = "true"; // the chart says the same
  const prefix = `rcnn-bar-${Math.random().toString(36).slice(2)}`; // ids must differ between two charts

  function showBars() {
    const bars = model.get("bars");
    const highest = Math.max(...bars.map((bar) => bar.value)) || 1;
    chart.replaceChildren();
    bars.forEach((bar, number) => {
      const option = add(chart, "div", "option");
      option.id = `${prefix}-${number}`;
      option.dataset.key = bar.key;
      option.title = bar.title;
      option.setAttribute("role", "option");
      option.setAttribute("aria-label", bar.title);
      const space = add(option, "div", "space");
      add(space, "span", "text").textContent = bar.text;
      const column = add(space, "div", `column ${bar.pattern}`);
      column.style.height = `calc((100% - 20px) * ${bar.value / highest})`; // the text stands above it
      column.style.backgroundColor = bar.colour;
      add(option, "span", "name").textContent = bar.label;
    });
    showSelected();
  }
  function showSelected() {
    const chosen = model.get("selected");
    chart.removeAttribute("aria-activedescendant");
    for (const option of chart.children) {
      const isChosen = option.dataset.key === chosen;
      option.setAttribute("aria-selected", String(isChosen));
      if (isChosen) chart.setAttribute("aria-activedescendant", option.id);
    }
  }
  function showLabel() {
    chart.setAttribute("aria-label", model.get("label"));
    hint.textContent = model.get("label");
  }
  function choose(key) {
    if (key === model.get("selected")) return;
    model.set("selected", key);
    model.save_changes();
  }
  function click(event) {
    const option = event.target.closest(".option");
    if (!option) return;
    chart.focus();
    choose(option.dataset.key);
  }
  function press(event) {
    const keys = model.get("bars").map((bar) => bar.key);
    const number = reached(event.key, keys.indexOf(model.get("selected")), keys.length);
    if (number === null || !keys.length) return;
    event.preventDefault();
    event.stopPropagation();
    choose(keys[number]);
  }
  chart.addEventListener("click", click);
  chart.addEventListener("keydown", press);

  return follow(model, { bars: showBars, selected: showSelected, label: showLabel });
}

export default { initialize, render };
