"""Networks as users write them, for every method: what is shared, frozen, hooked, wrapped, of other modules.

Each is predicted and measured; the two agree to the integer, or the prediction is refused by a ValueError that names a
function or a module. ``PYTHONPATH=tests/validate python -m variants [method …]`` prints the outcomes as Markdown.
"""

from . import sharing, frozen, modes, users, hooks, modules, functions  # noqa: F401, I001  (each adds its kinds, in this order)
