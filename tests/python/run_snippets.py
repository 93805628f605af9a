"""Runs the Python snippets of a page in their order, in one namespace, as a reader would who types them in.

    python run_snippets.py SNIPPETS.json

SNIPPETS.json is a list of [place, code]; the first that fails is named by its place.
"""

import json
import sys

if __name__ == "__main__":
    namespace = {"__name__": "snippets"}
    for place, code in json.load(open(sys.argv[1])):
        try:
            exec(compile(code, place, "exec"), namespace)
        except Exception as error:
            raise SystemExit(f"{place}: {type(error).__name__}: {error}\n{code}") from error
