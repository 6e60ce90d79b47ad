"""A widget's script on a page of its own, without JupyterLab and without Python behind it."""

import contextlib

from rcnn_helpers.widgets import scripts

# Makes window.model, which keeps values and listeners as anywidget's does, and renders the widget on it. Tests
# find window.script (the module), sent (how often changes were saved) and outside (keys that it let through).
BEGIN = """async ([script, style, values, picture]) => {
    const listeners = {};
    window.sent = 0;
    window.model = {
        get: name => values[name],
        set: (name, value) => { values[name] = value; listeners[name]?.forEach(listener => listener()); },
        on: (event, listener) => { (listeners[event.split(':')[1]] ??= []).push(listener); },
        off: (event, listener) => {
            const name = event.split(':')[1];
            listeners[name] = listeners[name].filter(other => other !== listener);
        },
        save_changes: () => { window.sent += 1; },
        listening: () => Object.values(listeners).flat().length,
    };
    values.image = new Uint8Array(picture);
    document.head.appendChild(document.createElement('style')).textContent = style;
    const address = URL.createObjectURL(new Blob([script], { type: 'text/javascript' }));
    window.script = await import(address);
    window.script.default.initialize({ model });
    window.outside = [];
    document.addEventListener('keydown', event => outside.push(event.key));
    window.cleanUp = window.script.default.render({ model, el: document.querySelector('main') });
}"""


@contextlib.contextmanager
def empty_page(browser, *, width: int, height: int):
    """A page with a place for a widget between two buttons. Errors of its scripts fail the test at the end."""
    page = browser.new_page(viewport={"width": width, "height": height})
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_content("<button>before</button><main></main><button>after</button>")
    yield page
    page.close()
    assert not errors


def render(page, name: str, values: dict, picture: bytes = b"") -> None:
    """Render the widget whose script and style are called `name`, with the values its model has at first."""
    page.evaluate(BEGIN, [scripts.script(name), scripts.style(name), values, list(picture)])
