"""The live view: ``greentic-session top``.

`watcher` asks the store, in steps that keep nobody waiting, and `view` is what it knows at a
moment; `picture` draws that with rich, and `keys` hears the keyboard. `top` is the command.
"""
