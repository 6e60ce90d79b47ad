// What the browser's halves of all widgets need; scripts.py puts it before each of them.

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// A new last child of `parent`.
function add(parent, tag, name) {
  const node = document.createElement(tag);
  node.className = name;
  return parent.appendChild(node);
}

// Show every value of the model now and whenever it changes; what it returns stops that.
function follow(model, shown) {
  for (const [name, show] of Object.entries(shown)) {
    model.on(`change:${name}`, show);
    show();
  }
  return () => {
    for (const [name, show] of Object.entries(shown)) model.off(`change:${name}`, show);
  };
}

function initialize({ model }) {
  model.set("alive", true);
  model.save_changes();
}

// The rest is the widget's own.
