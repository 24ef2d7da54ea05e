#!/usr/bin/env bash
# dspy 3.4.1: the reply cache leaves the address out, so that a second server with a model of the same name is never asked.
#
# Guess before running it: two `dspy.LM` with other `api_base` are two models, and have entries of their own.
# Seen: the second server gets no request, and the replies of the first one are its replies, also in later processes,
# since the cache is on the disk. It holds for `base_url` as for `api_base`. Comparing two machines, two quantizations or
# two versions of a server that serve one name finds no difference at all. `cache=False` asks both.
#
# In tunesmith: a `dspy.LM` with an address uses tunesmith's cache, which has the address in its keys.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'dspy==3.4.1'
cat > "$work/try.py" <<'PY'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dspy


def serve(name):
    """Start a server that answers its name to everything, and return its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            asked.append(name)
            message = {"role": "assistant", "content": f"from {name}"}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            reply = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}
            body = json.dumps({**reply, "choices": [choice]}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1"


asked = []
servers = {name: serve(name) for name in ("one", "two")}
for option in ("api_base", "base_url"):
    for cache in (True, False):
        asked.clear()
        models = [dspy.LM(f"openai/{option}", api_key="k", cache=cache, **{option: at}) for at in servers.values()]
        print(option, f"cache={cache}", [model("hello")[0] for model in models], "asked:", asked)
PY
found=$(DSPY_CACHEDIR="$work/cache" "$work/venv/bin/python" "$work/try.py" 2>/dev/null)
wanted="api_base cache=True ['from one', 'from one'] asked: ['one']
api_base cache=False ['from one', 'from two'] asked: ['one', 'two']
base_url cache=True ['from one', 'from one'] asked: ['one']
base_url cache=False ['from one', 'from two'] asked: ['one', 'two']"
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
